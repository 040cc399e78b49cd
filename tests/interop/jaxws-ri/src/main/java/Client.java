/*
 * Java, JAX-WS RI (Metro): one operation of each kind, from a registration to evidence and a redeemed code.
 *
 * Install:   Maven; com.sun.xml.ws:jaxws-rt and its jaxws-maven-plugin (see pom.xml)
 * Generate:  mvn compile      (wsimport of the WSDL, with -extension for SOAP 1.2)
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
import com.sun.xml.ws.api.message.Headers;
import com.sun.xml.ws.developer.WSBindingProvider;
import gateway.Conclusion;
import gateway.Device;
import gateway.GatewayException;
import gateway.IdentityAttribute;
import gateway.MobileIdGateway;
import gateway.MobileIdGateway_Service;
import gateway.Payee;
import gateway.Payment;
import gateway.Registration;
import gateway.ShownContent;
import gateway.Transaction;
import jakarta.xml.ws.Holder;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import javax.xml.datatype.XMLGregorianCalendar;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;

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

    private static final String WSSE =
            "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";

    /** The runtime alone has no WS-Security; the header is made by hand. */
    private static void authenticate(MobileIdGateway gateway) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        Document document = factory.newDocumentBuilder().newDocument();
        Element security = add(document, "Security");
        Element token = add(security, "UsernameToken");
        add(token, "Username").setTextContent(env("GATEWAY_USER"));
        add(token, "Password").setTextContent(env("GATEWAY_SECRET"));
        ((WSBindingProvider) gateway).setOutboundHeaders(Headers.create(security));
    }

    private static Element add(Node parent, String name) {
        Document document = parent instanceof Document d ? d : parent.getOwnerDocument();
        return (Element) parent.appendChild(document.createElementNS(WSSE, "wsse:" + name));
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
        Registration registration = activated(say("StartRegistration",
                gateway.startRegistration(requestId(), PERSON, List.of(name), null)));
        List<Device> devices = say("ListDevices", gateway.listDevices(PERSON));
        must(devices.size() == 1 && devices.get(0).getDeviceId().equals(registration.getDeviceId()), "not its device");

        consentSignature(Files.readString(Path.of(env("CONSENT"))));
        textSignature();
        redeem(approved(startAuthentication(null)), null);
        authorisation();
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

    private void authorisation() throws Exception {
        Transaction paid = approved(say("StartAuthorisation", gateway.startAuthorisation(
                requestId(), PERSON, null, null, "de", payment(), null, null, null)));
        redeem(paid, payment());
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
