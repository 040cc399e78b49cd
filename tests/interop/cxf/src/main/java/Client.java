/*
 * Java, Apache CXF: one consent signature, from start to evidence.
 *
 * Install:   Maven; org.apache.cxf:cxf-rt-frontend-jaxws, -transports-http, -ws-security (see pom.xml)
 * Generate:  mvn compile      (wsdl2java of the WSDL)
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... \
 *            java -cp 'target/classes:target/lib/*' Client
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
import gateway.Conclusion;
import gateway.GatewayException;
import gateway.GatewayFault;
import gateway.MobileIdGateway;
import gateway.MobileIdGateway_Service;
import gateway.ShownContent;
import gateway.Transaction;
import jakarta.xml.ws.BindingProvider;
import jakarta.xml.ws.Holder;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import javax.security.auth.callback.CallbackHandler;
import javax.xml.datatype.XMLGregorianCalendar;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.ws.security.wss4j.WSS4JOutInterceptor;
import org.apache.wss4j.common.ConfigurationConstants;
import org.apache.wss4j.common.ext.WSPasswordCallback;

public final class Client {
    private static void authenticate(MobileIdGateway gateway) {
        CallbackHandler secret = callbacks -> ((WSPasswordCallback) callbacks[0]).setPassword(env("GATEWAY_SECRET"));
        ClientProxy.getClient(gateway).getOutInterceptors().add(new WSS4JOutInterceptor(Map.of(
                ConfigurationConstants.ACTION, ConfigurationConstants.USERNAME_TOKEN,
                ConfigurationConstants.PASSWORD_TYPE, "PasswordText",
                ConfigurationConstants.USER, env("GATEWAY_USER"),
                ConfigurationConstants.PW_CALLBACK_REF, secret)));
    }

    private static final Set<String> FINAL =
            Set.of("COMPLETED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "BLOCKED");

    public static void main(String[] arguments) throws Exception {
        MobileIdGateway_Service service = new MobileIdGateway_Service(new URL(env("GATEWAY_WSDL")));
        MobileIdGateway gateway = env("SOAP_VERSION").equals("1.2") ? service.getSoap12() : service.getSoap11();
        authenticate(gateway);

        Holder<Boolean> database = new Holder<>();
        gateway.heartbeat(new Holder<>(), new Holder<>(), database);
        Transaction started = start(gateway, Files.readString(Path.of(env("CONSENT"))));
        Transaction last = started;
        while (!FINAL.contains(last.getState())) {
            last = gateway.getTransaction(started.getTransactionId(), 20);
        }
        Holder<byte[]> document = new Holder<>();
        gateway.getEvidence(new Holder<>(started.getTransactionId()),
                new Holder<>(), new Holder<>(), new Holder<>(), document);
        Files.write(Path.of(env("OUT")), document.value);
        Conclusion conclusion = gateway.verifyEvidence(document.value);

        GatewayFault fault = null;
        try {
            start(gateway, "zero\u200bwidth");
        } catch (GatewayException refused) {
            fault = refused.getFaultInfo();
        }
        String line = String.format("{\"database\": %s, \"transactionId\": \"%s\", \"started\": \"%s\", "
                + "\"createdAt\": \"%s\", \"final\": \"%s\", \"decidedAt\": \"%s\", \"amr\": [\"%s\"], "
                + "\"length\": %d, \"sha256\": \"%s\", \"indication\": \"%s\", \"fault\": {\"code\": \"%s\", \"group\": \"%s\", "
                + "\"message\": \"%s\", \"correlationId\": \"%s\", \"retryable\": %s, \"field\": \"%s\"}}",
                database.value, started.getTransactionId(), started.getState(),
                instant(started.getCreatedAt()), last.getState(), instant(last.getDecidedAt()),
                String.join("\", \"", last.getAmr()), document.value.length,
                HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(document.value)),
                conclusion.getIndication(),
                fault.getCode(), fault.getGroup(), fault.getMessage(), fault.getCorrelationId(),
                fault.isRetryable(), fault.getField());
        System.out.println(line);
    }

    private static Transaction start(MobileIdGateway gateway, String text) throws GatewayException {
        ShownContent shown = new ShownContent();
        shown.setTitle("Darlehen über € 348.500,00");
        shown.setContent(text);
        shown.setMediaType("text/plain");
        return gateway.startConsentSignature(
                UUID.randomUUID().toString(), env("EXTERNAL_REF"), null, null, "de", shown, null, null);
    }

    /** XMLGregorianCalendar keeps the zone that was sent. */
    private static Instant instant(XMLGregorianCalendar time) {
        return time.toGregorianCalendar().toInstant();
    }

    private static String env(String name) {
        return System.getenv(name);
    }
}
