/*
 * Java, Apache CXF: every operation, from a registration to the end of a device.
 *
 * Install:   Maven; org.apache.cxf:cxf-rt-frontend-jaxws, -transports-http, -ws-security (see pom.xml)
 * Generate:  mvn compile      (wsdl2java of the WSDL)
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... \
 *            java -cp 'target/classes:target/lib/*' Client
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF (the person), CONSENT (a text file) and OUT (where the evidence goes)
 * are as in every program beside this one. Each answer is printed as one line of JSON; the person with the phone
 * reads there what a bank's screen would show.
 */
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import gateway.Conclusion;
import gateway.Device;
import gateway.DeviceEvent;
import gateway.GatewayException;
import gateway.IdentityAttribute;
import gateway.MobileIdGateway;
import gateway.MobileIdGateway_Service;
import gateway.Payee;
import gateway.Payment;
import gateway.PinReset;
import gateway.Registration;
import gateway.ShownContent;
import gateway.Transaction;
import jakarta.xml.ws.Holder;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;
import javax.security.auth.callback.CallbackHandler;
import javax.xml.datatype.XMLGregorianCalendar;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.ws.security.wss4j.WSS4JOutInterceptor;
import org.apache.wss4j.common.ConfigurationConstants;
import org.apache.wss4j.common.ext.WSPasswordCallback;

public final class Client {
    private static final Set<String> FINAL =
            Set.of("COMPLETED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "BLOCKED");
    private static final String PERSON = env("EXTERNAL_REF");
    private static final JsonMapper JSON = JsonMapper.builder()
            .serializationInclusion(JsonInclude.Include.NON_NULL)
            .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
            .enable(JsonWriteFeature.ESCAPE_NON_ASCII)
            .build();

    private final MobileIdGateway gateway;

    private Client(MobileIdGateway gateway) {
        this.gateway = gateway;
    }

    public static void main(String[] arguments) throws Exception {
        MobileIdGateway_Service service = new MobileIdGateway_Service(new URL(env("GATEWAY_WSDL")));
        MobileIdGateway gateway = env("SOAP_VERSION").equals("1.2") ? service.getSoap12() : service.getSoap11();
        authenticate(gateway);
        new Client(gateway).walk();
    }

    private static void authenticate(MobileIdGateway gateway) {
        CallbackHandler secret = callbacks -> ((WSPasswordCallback) callbacks[0]).setPassword(env("GATEWAY_SECRET"));
        ClientProxy.getClient(gateway).getOutInterceptors().add(new WSS4JOutInterceptor(Map.of(
                ConfigurationConstants.ACTION, ConfigurationConstants.USERNAME_TOKEN,
                ConfigurationConstants.PASSWORD_TYPE, "PasswordText",
                ConfigurationConstants.USER, env("GATEWAY_USER"),
                ConfigurationConstants.PW_CALLBACK_REF, secret)));
    }

    private void walk() throws Exception {
        Holder<XMLGregorianCalendar> time = new Holder<>();
        Holder<String> version = new Holder<>();
        Holder<Boolean> database = new Holder<>();
        gateway.heartbeat(time, version, database);
        say("Heartbeat", Map.of("time", time.value, "version", version.value, "database", database.value));
        must(database.value, "the gateway has no database");

        IdentityAttribute name = new IdentityAttribute();
        name.setName("name");
        name.setValue("Zoë Ångström-Şahin");
        activated(say("StartRegistration",
                gateway.startRegistration(requestId(), PERSON, List.of(name), null)));

        consentSignature(Files.readString(Path.of(env("CONSENT"))));
        textSignature();
        authentications();
        authorisation();
        devices();
        refused();
    }

    /** The registration once the person's app has bound their device. */
    private Registration activated(Registration started) throws Exception {
        Registration last = started;
        while (!last.getState().equals("ACTIVATED")) {
            must(Set.of("ISSUED", "PENDING").contains(last.getState()), "it ended as " + last.getState());
            Thread.sleep(200);
            last = say("GetRegistration", gateway.getRegistration(started.getRegistrationId()));
        }
        return last;
    }

    /** The transaction once it is final; each call waits for the person. */
    private Transaction decided(Transaction started) throws Exception {
        Transaction last = started;
        while (!FINAL.contains(last.getState())) {
            last = say("GetTransaction", gateway.getTransaction(started.getTransactionId(), 20));
        }
        return last;
    }

    private Transaction approved(Transaction started) throws Exception {
        Transaction last = decided(started);
        must(last.getState().equals("COMPLETED"), "it ended as " + last.getState());
        return last;
    }

    /** The code serves once, and of a payment for the very payment that was signed. */
    private void redeem(Transaction transaction, Payment payment) throws Exception {
        Transaction done = say("RedeemAuthenticationCode", gateway.redeemAuthenticationCode(
                requestId(), transaction.getTransactionId(), transaction.getAuthenticationCode(), payment));
        must(done.getRedeemedAt() != null, "the code was not redeemed");
    }

    private void consentSignature(String content) throws Exception {
        Transaction started = say("StartConsentSignature", startConsentSignature(content));
        approved(started);
        Holder<String> transactionId = new Holder<>(started.getTransactionId());
        Holder<String> evidenceId = new Holder<>();
        Holder<String> level = new Holder<>();
        Holder<XMLGregorianCalendar> sealedAt = new Holder<>();
        Holder<byte[]> document = new Holder<>();
        gateway.getEvidence(transactionId, evidenceId, level, sealedAt, document);
        say("GetEvidence", Map.of("evidenceId", evidenceId.value, "transactionId", transactionId.value,
                "level", level.value, "sealedAt", sealedAt.value, "document", document.value));
        Files.write(Path.of(env("OUT")), document.value);
        Conclusion conclusion = say("VerifyEvidence", gateway.verifyEvidence(document.value));
        must(conclusion.getIndication().equals("TOTAL-PASSED"), conclusion.getExplanation());
    }

    private Transaction startConsentSignature(String content) throws GatewayException {
        return gateway.startConsentSignature(requestId(), PERSON, null, null, "de",
                text("Darlehen über € 348.500,00", content), null, null);
    }

    private void textSignature() throws Exception {
        List<ShownContent> texts = List.of(
                text("Kartenbedingungen", "Ich habe die Bedingungen gelesen."),
                text("Gebühren", "Ich zahle € 25,00 im Jahr."));
        approved(say("StartTextSignature",
                gateway.startTextSignature(requestId(), PERSON, null, null, "de", texts, null, null)));
    }

    private Transaction startAuthentication(ShownContent shown) throws Exception {
        return say("StartAuthentication",
                gateway.startAuthentication(requestId(), PERSON, null, null, "de", shown, null, null));
    }

    private void authentications() throws Exception {
        redeem(approved(startAuthentication(null)), null);
        Transaction rejected = decided(startAuthentication(text("Reject this", "Not now.")));
        must(rejected.getState().equals("REJECTED"), "it ended as " + rejected.getState());
        Transaction started = startAuthentication(text("Leave this", "Nobody answers."));
        Transaction cancelled = say("CancelTransaction", gateway.cancelTransaction(started.getTransactionId()));
        must(cancelled.getState().equals("CANCELLED"), "it ended as " + cancelled.getState());
    }

    private void authorisation() throws Exception {
        Transaction paid = approved(say("StartAuthorisation", gateway.startAuthorisation(
                requestId(), PERSON, null, null, "de", payment(), null, null, null)));
        redeem(paid, payment());
        byte[] proof = say("GetAuthorisationProof", gateway.getAuthorisationProof(paid.getTransactionId()));
        must(new String(proof, StandardCharsets.UTF_8).contains(paid.getTransactionId()), "not its proof");
    }

    /** A second device, begun by an artifact that the bank's app gets, and what may happen to it. */
    private void devices() throws Exception {
        Holder<Registration> issued = new Holder<>();
        Holder<String> artifact = new Holder<>();
        Holder<String> deepLink = new Holder<>();
        gateway.issueRegistrationArtifact(requestId(), PERSON, null, null, issued, artifact, deepLink);
        say("IssueRegistrationArtifact", Map.of(
                "registration", issued.value, "artifact", artifact.value, "deepLink", deepLink.value));
        String id = activated(issued.value).getDeviceId();

        List<Device> listed = say("ListDevices", gateway.listDevices(PERSON));
        must(listed.size() == 2 && listed.get(1).getDeviceId().equals(id), "not the two devices");
        must(say("GetDevice", gateway.getDevice(id)).getState().equals("ACTIVE"), "not active");
        Device renamed = say("RenameDevice", gateway.renameDevice(id, "Zweitgerät"));
        must(renamed.getName().equals("Zweitgerät"), "not renamed");
        must(say("LockDevice", gateway.lockDevice(id, null, "lost")).getState().equals("LOCKED"), "not locked");
        must(say("UnlockDevice", gateway.unlockDevice(id, null)).getState().equals("ACTIVE"), "not unlocked");

        PinReset reset = say("StartPinReset", gateway.startPinReset(requestId(), id));
        while (reset.getState().equals("PENDING")) {
            Thread.sleep(200);
            reset = say("GetPinReset", gateway.getPinReset(reset.getPinResetId()));
        }
        must(reset.getState().equals("COMPLETED"), "the PIN reset ended as " + reset.getState());

        Holder<List<DeviceEvent>> entries = new Holder<>();
        Holder<String> next = new Holder<>();
        gateway.getDeviceHistory(id, null, entries, next);
        say("GetDeviceHistory", Map.of("entry", entries.value));
        Set<String> events = entries.value.stream().map(DeviceEvent::getEvent).collect(Collectors.toSet());
        must(events.containsAll(Set.of("BIND", "LOCK", "UNLOCK", "RESETPIN")), "not its history");
        must(say("RevokeDevice", gateway.revokeDevice(id, "replaced")).getState().equals("REVOKED"), "not revoked");
    }

    private void refused() throws Exception {
        try {
            startConsentSignature("zero\u200bwidth");
        } catch (GatewayException error) {
            print("StartConsentSignature", "fault", error.getFaultInfo());
        }
    }

    private static Payment payment() {
        Payee payee = new Payee();
        payee.setName("Garage Müller");
        payee.setAccount("DE89370400440532013000");
        payee.setAmount("1250.00");
        Payment payment = new Payment();
        payment.setTotal("1250.00");
        payment.setCurrency("EUR");
        payment.getPayee().add(payee);
        return payment;
    }

    private static ShownContent text(String title, String content) {
        ShownContent shown = new ShownContent();
        shown.setTitle(title);
        shown.setContent(content);
        shown.setMediaType("text/plain");
        return shown;
    }

    /** It makes a repetition of a request safe. */
    private static String requestId() {
        return UUID.randomUUID().toString();
    }

    /** Prints an answer; dates keep the zone that was sent. */
    private static <T> T say(String operation, T response) throws Exception {
        print(operation, "response", response);
        return response;
    }

    private static void print(String operation, String what, Object said) throws Exception {
        System.out.println(JSON.writeValueAsString(Map.of("operation", operation, what, said)));
    }

    private static void must(boolean holds, String says) {
        if (!holds) {
            throw new IllegalStateException(says);
        }
    }

    private static String env(String name) {
        return System.getenv(name);
    }
}
