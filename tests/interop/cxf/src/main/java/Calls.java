import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import gateway.GatewayException;
import gateway.IdentityAttribute;
import gateway.MobileIdGateway;
import gateway.MobileIdGateway_Service;
import jakarta.xml.ws.WebServiceException;
import java.net.URL;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.function.Function;

/** The two calls of each program: one that is answered, and one that is answered with a typed fault. */
final class Calls {
    private static final JsonMapper JSON = JsonMapper.builder()
            .serializationInclusion(JsonInclude.Include.NON_NULL)
            .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
            .enable(JsonWriteFeature.ESCAPE_NON_ASCII)
            .build();

    private Calls() {
    }

    static MobileIdGateway port() throws Exception {
        MobileIdGateway_Service service = new MobileIdGateway_Service(new URL(env("GATEWAY_WSDL")));
        return env("SOAP_VERSION").equals("1.2") ? service.getSoap12() : service.getSoap11();
    }

    /** {@code refusal} says why an answer was not taken for the gateway's; null where something else went wrong. */
    static void run(Callable<MobileIdGateway> gateway, Function<Throwable, String> refusal) throws Exception {
        call("StartRegistration", refusal, () -> {
            IdentityAttribute name = new IdentityAttribute();
            name.setName("name");
            name.setValue("Zoë & Ångström <Şahin>");
            return gateway.call()
                    .startRegistration(UUID.randomUUID().toString(), env("EXTERNAL_REF"), List.of(name), null);
        });
        call("GetTransaction", refusal,
                () -> gateway.call().getTransaction("00000000-0000-7000-8000-000000000000", null));
    }

    private interface Call {
        Object made() throws Exception;
    }

    private static void call(String operation, Function<Throwable, String> refusal, Call call) throws Exception {
        String what;
        Object said;
        try {
            said = call.made();
            what = "response";
        } catch (GatewayException fault) {
            said = fault.getFaultInfo();
            what = "fault";
        } catch (WebServiceException error) {
            said = refused(error, refusal);
            what = "refused";
        }
        System.out.println(JSON.writeValueAsString(Map.of("operation", operation, what, said)));
    }

    private static String refused(WebServiceException error, Function<Throwable, String> refusal) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            String why = refusal.apply(cause);
            if (why != null) {
                return why;
            }
        }
        throw error;
    }

    static String env(String name) {
        return System.getenv(name);
    }
}
