/*
 * Java, Apache CXF: signed calls by policy. CXF reads in the WSDL what is to be signed and what must be, and does it.
 *
 * Install:   Maven; org.apache.cxf:cxf-rt-frontend-jaxws, -transports-http, -ws-security (see pom.xml)
 * Generate:  mvn compile      (wsdl2java of the WSDL)
 * Call:      GATEWAY_WSDL='https://.../soap/v1?wsdl&policy=x509' KEYSTORE=key.p12 TRUSTSTORE=trust.p12 \
 *            KEYSTORE_PASSWORD=... java -cp 'target/classes:target/lib/*' SignedByPolicy
 *
 * SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one.
 */
import gateway.MobileIdGateway;
import jakarta.xml.ws.BindingProvider;
import java.util.Map;
import java.util.Properties;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.ws.policy.PolicyException;
import org.apache.cxf.ws.security.SecurityConstants;
import org.apache.wss4j.common.ext.WSSecurityException;

public final class SignedByPolicy {
    public static void main(String[] arguments) throws Exception {
        MobileIdGateway gateway = Calls.port();
        Map<String, Object> context = ((BindingProvider) gateway).getRequestContext();
        // Our key signs; no certificate of this store is trusted in an answer.
        context.put(SecurityConstants.SIGNATURE_PROPERTIES, store("KEYSTORE"));
        context.put(SecurityConstants.SIGNATURE_USERNAME, "caller");
        context.put(SecurityConstants.SIGNATURE_PASSWORD, Calls.env("KEYSTORE_PASSWORD"));
        // Answers are verified with this one, which holds the gateway's certificate and nothing else.
        context.put(SecurityConstants.ENCRYPT_PROPERTIES, store("TRUSTSTORE"));
        // The one thing that no policy can say: to the letter, every suite signs with RSA-SHA1.
        context.put(SecurityConstants.ASYMMETRIC_SIGNATURE_ALGORITHM,
                "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256");
        // CXF holds responses against the policy, and faults only where they have a Security header.
        ClientProxy.getClient(gateway).getInInterceptors().add(new Coverage());
        Calls.run(() -> gateway, SignedByPolicy::refusal);
    }

    private static Properties store(String name) {
        Properties store = new Properties();
        store.put("org.apache.wss4j.crypto.provider", "org.apache.wss4j.common.crypto.Merlin");
        store.put("org.apache.wss4j.crypto.merlin.keystore.type", "pkcs12");
        store.put("org.apache.wss4j.crypto.merlin.keystore.file", Calls.env(name));
        store.put("org.apache.wss4j.crypto.merlin.keystore.password", Calls.env("KEYSTORE_PASSWORD"));
        return store;
    }

    private static String refusal(Throwable cause) {
        return cause instanceof WSSecurityException || cause instanceof PolicyException ? cause.toString() : null;
    }
}
