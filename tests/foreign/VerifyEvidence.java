// Judges the two signatures of an evidence document with the JDK's own XML-DSig, and nothing of ours.
//
// The law: secure validation stays on; Ids are declared by element and namespace; the key comes from the first
// certificate of KeyInfo, whose path is validated against the anchor by the JDK (PKIX, without revocation).
// Prints one line for each signature, "device ok" or "seal failed", and exits 1 where one failed.
//
//   java VerifyEvidence.java ANCHOR.pem SECONDS EVIDENCE.xml...

import java.io.File;
import java.io.FileInputStream;
import java.security.cert.CertPathValidator;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Set;
import javax.xml.crypto.KeySelector;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMValidateContext;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.w3c.dom.NodeList;

public class VerifyEvidence {
    static final String DS = "http://www.w3.org/2000/09/xmldsig#";
    static final String XADES = "http://uri.etsi.org/01903/v1.3.2#";
    static final String EVIDENCE = "urn:mobileid-gateway:evidence:1";
    static final String STATEMENT = "urn:mobileid-gateway:statement:1";

    public static void main(String[] arguments) throws Exception {
        X509Certificate anchor;
        try (var in = new FileInputStream(arguments[0])) {
            anchor = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
        Date at = new Date(Long.parseLong(arguments[1]) * 1000);
        boolean allGood = true;
        for (int i = 2; i < arguments.length; i++) {
            boolean device = good(arguments[i], true, anchor, at);
            boolean seal = good(arguments[i], false, anchor, at);
            System.out.println(
                new File(arguments[i]).getName()
                    + " device " + (device ? "ok" : "failed") + " seal " + (seal ? "ok" : "failed"));
            allGood &= device && seal;
        }
        System.exit(allGood ? 0 : 1);
    }

    static boolean good(String file, boolean device, X509Certificate anchor, Date at) throws Exception {
        DocumentBuilderFactory builders = DocumentBuilderFactory.newInstance();
        builders.setNamespaceAware(true);
        builders.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        Document document = builders.newDocumentBuilder().parse(new File(file));
        Element holder = document.getDocumentElement();
        if (device) {
            holder = child(holder, EVIDENCE, "DeviceSignature");
        }
        Element signature = child(holder, DS, "Signature");
        try {
            List<X509Certificate> chain = chain(signature);
            PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(anchor, null)));
            parameters.setRevocationEnabled(false);
            parameters.setDate(at);
            CertPathValidator.getInstance("PKIX").validate(
                CertificateFactory.getInstance("X.509").generateCertPath(chain), parameters);
            DOMValidateContext context = new DOMValidateContext(
                KeySelector.singletonKeySelector(chain.get(0).getPublicKey()), signature);
            context.setProperty("org.jcp.xml.dsig.secureValidation", Boolean.TRUE);
            declare(context, signature.getElementsByTagNameNS(XADES, "SignedProperties"));
            declare(context, signature.getElementsByTagNameNS(DS, "KeyInfo"));
            declare(context, document.getElementsByTagNameNS(STATEMENT, "Statement"));
            return XMLSignatureFactory.getInstance("DOM").unmarshalXMLSignature(context).validate(context);
        } catch (Exception refused) {
            System.err.println(new File(file).getName() + ": " + refused);
            return false;
        }
    }

    static void declare(DOMValidateContext context, NodeList elements) {
        for (int i = 0; i < elements.getLength(); i++) {
            Element element = (Element) elements.item(i);
            if (element.hasAttributeNS(null, "Id")) {
                context.setIdAttributeNS(element, null, "Id");
            }
        }
    }

    static List<X509Certificate> chain(Element signature) throws Exception {
        List<X509Certificate> chain = new ArrayList<>();
        NodeList found = child(signature, DS, "KeyInfo").getElementsByTagNameNS(DS, "X509Certificate");
        for (int i = 0; i < found.getLength(); i++) {
            byte[] der = java.util.Base64.getDecoder().decode(found.item(i).getTextContent());
            chain.add((X509Certificate) CertificateFactory.getInstance("X.509")
                .generateCertificate(new java.io.ByteArrayInputStream(der)));
        }
        return chain;
    }

    static Element child(Element parent, String namespace, String name) {
        for (Node node = parent.getFirstChild(); node != null; node = node.getNextSibling()) {
            if (namespace.equals(node.getNamespaceURI()) && name.equals(node.getLocalName())) {
                return (Element) node;
            }
        }
        throw new IllegalArgumentException("no " + name);
    }
}
