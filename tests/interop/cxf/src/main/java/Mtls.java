/*
 * Java, Apache CXF: calls by TLS client certificate. The policy in the WSDL asks for it, and CXF sees that it is there.
 *
 * Install:   Maven; org.apache.cxf:cxf-rt-frontend-jaxws, -transports-http, -ws-security (see pom.xml)
 * Generate:  mvn compile      (wsdl2java of the WSDL)
 * Call:      GATEWAY_WSDL='https://.../soap/v1?wsdl&policy=mtls' KEYSTORE=key.p12 TRUSTSTORE=trust.p12 \
 *            KEYSTORE_PASSWORD=... java -cp 'target/classes:target/lib/*' Mtls
 *
 * TRUSTSTORE holds the CA of the server's certificate. SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as
 * in every program beside this one.
 */
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.SocketException;
import java.security.KeyStore;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManagerFactory;
import org.apache.cxf.Bus;
import org.apache.cxf.BusFactory;
import org.apache.cxf.configuration.jsse.TLSClientParameters;
import org.apache.cxf.transport.http.HTTPConduitConfigurer;
import org.apache.cxf.ws.policy.PolicyException;

public final class Mtls {
    public static void main(String[] arguments) throws Exception {
        TLSClientParameters tls = tls();
        // For every connection: the WSDL is fetched behind the same door.
        Bus bus = BusFactory.getDefaultBus();
        bus.setExtension((name, address, conduit) -> conduit.setTlsClientParameters(tls), HTTPConduitConfigurer.class);
        // Where it cannot be had so, CXF asks the JDK for it.
        HttpsURLConnection.setDefaultSSLSocketFactory(tls.getSslContext().getSocketFactory());
        Calls.run(Calls::port, Mtls::refusal);
    }

    private static TLSClientParameters tls() throws Exception {
        char[] password = Calls.env("KEYSTORE_PASSWORD").toCharArray();
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store("KEYSTORE", password), password);
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(store("TRUSTSTORE", password));
        TLSClientParameters tls = new TLSClientParameters();
        tls.setKeyManagers(keys.getKeyManagers());
        tls.setTrustManagers(trusted.getTrustManagers());
        tls.setSslContext(SSLContext.getInstance("TLS"));
        tls.getSslContext().init(keys.getKeyManagers(), trusted.getTrustManagers(), null);
        return tls;
    }

    private static KeyStore store(String name, char[] password) throws Exception {
        KeyStore store = KeyStore.getInstance("pkcs12");
        try (InputStream file = new FileInputStream(Calls.env(name))) {
            store.load(file, password);
        }
        return store;
    }

    /** The handshake failed, the proxy turned us away, or CXF had no certificate to show. */
    private static String refusal(Throwable cause) {
        boolean turnedAway = cause instanceof IOException && String.valueOf(cause.getMessage()).contains("400");
        // In TLS 1.3 a server may cut the connection instead of saying what is wrong with our certificate.
        boolean cut = cause instanceof SocketException && !(cause instanceof ConnectException);
        boolean refused = turnedAway || cut || cause instanceof SSLException || cause instanceof PolicyException;
        return refused ? cause.toString() : null;
    }
}
