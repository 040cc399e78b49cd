/*
 * Java, JAX-WS RI (Metro): one consent signature, from start to evidence.
 *
 * Install:   Maven; com.sun.xml.ws:jaxws-rt and its jaxws-maven-plugin (see pom.xml)
 * Generate:  mvn compile      (wsimport of the WSDL, with -extension for SOAP 1.2)
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... \
 *            java -cp 'target/classes:target/lib/*' Client
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
import com.sun.xml.ws.api.message.Headers;
import com.sun.xml.ws.developer.WSBindingProvider;
import gateway.Conclusion;
import gateway.GatewayException;
import gateway.GatewayFault;
import gateway.MobileIdGateway;
import gateway.MobileIdGateway_Service;
import gateway.ShownContent;
import gateway.Transaction;
import jakarta.xml.ws.Holder;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Set;
import java.util.UUID;
import javax.xml.datatype.XMLGregorianCalendar;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;

public final class Client {
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
