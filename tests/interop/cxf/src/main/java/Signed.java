/*
 * Java, Apache CXF: signed calls by interceptors, for who has no policy in the WSDL and says all of it in code.
 *
 * Install:   Maven; org.apache.cxf:cxf-rt-frontend-jaxws, -transports-http, -ws-security (see pom.xml)
 * Generate:  mvn compile      (wsdl2java of the WSDL)
 * Call:      GATEWAY_WSDL='https://.../soap/v1?wsdl' KEYSTORE=key.p12 TRUSTSTORE=trust.p12 \
 *            KEYSTORE_PASSWORD=... java -cp 'target/classes:target/lib/*' Signed
 *
 * SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one.
 */
import gateway.MobileIdGateway;
import java.io.FileInputStream;
import java.io.InputStream;
import java.security.KeyStore;
import java.util.Map;
import java.util.Properties;
import javax.security.auth.callback.CallbackHandler;
import org.apache.cxf.endpoint.Client;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.ws.security.wss4j.WSS4JInInterceptor;
import org.apache.cxf.ws.security.wss4j.WSS4JOutInterceptor;
import org.apache.wss4j.common.ConfigurationConstants;
import org.apache.wss4j.common.ext.WSPasswordCallback;
import org.apache.wss4j.common.ext.WSSecurityException;
import org.apache.wss4j.dom.WSConstants;

public final class Signed {
    public static void main(String[] arguments) throws Exception {
        MobileIdGateway gateway = Calls.port();
        Client client = ClientProxy.getClient(gateway);
        client.getOutInterceptors().add(new WSS4JOutInterceptor(signing()));
        client.getInInterceptors().add(new WSS4JInInterceptor(verifying()));
        client.getInInterceptors().add(new Coverage());
        Calls.run(() -> gateway, Signed::refusal);
    }

    private static Map<String, Object> signing() throws Exception {
        CallbackHandler password =
                callbacks -> ((WSPasswordCallback) callbacks[0]).setPassword(Calls.env("KEYSTORE_PASSWORD"));
        return Map.of(
                ConfigurationConstants.ACTION, "Timestamp Signature",
                ConfigurationConstants.USER, "caller",
                ConfigurationConstants.PW_CALLBACK_REF, password,
                ConfigurationConstants.SIG_PROP_REF_ID, "ours",
                "ours", store("KEYSTORE"),
                ConfigurationConstants.SIG_KEY_ID, "DirectReference",
                ConfigurationConstants.SIG_ALGO, algorithm(),
                ConfigurationConstants.SIG_DIGEST_ALGO, WSConstants.SHA256,
                ConfigurationConstants.SIGNATURE_PARTS, "{Element}{" + WSConstants.WSU_NS + "}Timestamp;Body",
                ConfigurationConstants.ENABLE_SIGNATURE_CONFIRMATION, "true");
    }

    private static Map<String, Object> verifying() {
        return Map.of(
                ConfigurationConstants.ACTION, "Timestamp Signature",
                ConfigurationConstants.SIG_VER_PROP_REF_ID, "gateway",
                "gateway", store("TRUSTSTORE"),
                ConfigurationConstants.ENABLE_SIGNATURE_CONFIRMATION, "true");
    }

    private static Properties store(String name) {
        Properties store = new Properties();
        store.put("org.apache.wss4j.crypto.provider", "org.apache.wss4j.common.crypto.Merlin");
        store.put("org.apache.wss4j.crypto.merlin.keystore.type", "pkcs12");
        store.put("org.apache.wss4j.crypto.merlin.keystore.file", Calls.env(name));
        store.put("org.apache.wss4j.crypto.merlin.keystore.password", Calls.env("KEYSTORE_PASSWORD"));
        return store;
    }

    /** RSA with SHA-256, or ECDSA where our key is on a curve. */
    private static String algorithm() throws Exception {
        KeyStore ours = KeyStore.getInstance("pkcs12");
        try (InputStream file = new FileInputStream(Calls.env("KEYSTORE"))) {
            ours.load(file, Calls.env("KEYSTORE_PASSWORD").toCharArray());
        }
        boolean curve = ours.getCertificate("caller").getPublicKey().getAlgorithm().equals("EC");
        return "http://www.w3.org/2001/04/xmldsig-more#" + (curve ? "ecdsa-sha256" : "rsa-sha256");
    }

    private static String refusal(Throwable cause) {
        return cause instanceof WSSecurityException ? cause.toString() : null;
    }
}
