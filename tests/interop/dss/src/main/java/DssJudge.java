import eu.europa.esig.dss.diagnostic.CertificateRefWrapper;
import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.diagnostic.SignatureWrapper;
import eu.europa.esig.dss.diagnostic.jaxb.XmlSignatureScope;
import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.enumerations.SignatureLevel;
import eu.europa.esig.dss.enumerations.SignatureScopeType;
import eu.europa.esig.dss.jaxb.object.Message;
import eu.europa.esig.dss.model.InMemoryDocument;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.policy.SignaturePolicyProvider;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.spi.x509.revocation.crl.ExternalResourcesCRLSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import eu.europa.esig.dss.validation.reports.Reports;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.NodeList;

/**
 * Lets EU DSS judge both signatures of an evidence document, offline, under DSS's own default validation policy.
 *
 * <p>The law: ETSI EN 319 102-1 as DSS implements it. The trusted certificates are those of the trust file and no
 * others; revocation is answered by its CRLs, by the CRL inside the evidence, and by noRevAvail (RFC 9608); nothing is
 * fetched. Beyond DSS's indication this program demands what DSS only warns about or leaves to its caller: exactly the
 * two signatures at XAdES-BASELINE-B, one over the whole document and one over the statement, each naming its own
 * certificate, and the hash of the seal's policy. Roles, profile and agreement are left to our verifier.
 *
 * <p>Exit: 0 both pass, 1 one does not, 2 there was nothing to judge.
 */
public final class DssJudge {
  private static final String EVIDENCE = "urn:mobileid-gateway:evidence:1";
  private static final String POLICY_ID = "http://mobileid-gateway.example/policy/seal/1";
  private static final String ENVELOPED = "Enveloped Signature Transform"; // these two in DSS's words
  private static final String EXCLUSIVE = "Exclusive Canonical XML (omits comments)";
  private static final Pattern PEM =
      Pattern.compile("-----BEGIN (CERTIFICATE|X509 CRL)-----([A-Za-z0-9+/=\\s]+)-----END \\1-----");

  /** What DSS said of one signature; {@code missing} is what this program demands beyond that. */
  private record Judgement(
      String id, String level, String indication, String subIndication, String scope, String policy,
      String qualification, List<String> errors, List<String> warnings, List<String> infos, List<String> missing) {

    boolean accepted() {
      return indication.equals(Indication.TOTAL_PASSED.toString()) && missing.isEmpty();
    }

    String line() {
      List<String> objections = Stream.concat(errors.stream(), missing.stream().map("demanded: "::concat)).toList();
      return String.join(" | ", id, level, indication, subIndication, said(objections), said(warnings));
    }

    private static String said(List<String> messages) {
      return messages.isEmpty() ? "-" : String.join("; ", messages);
    }

    String json() {
      return "{\"id\": " + quote(id) + ", \"level\": " + quote(level) + ", \"indication\": " + quote(indication)
          + ", \"subIndication\": " + quote(subIndication) + ", \"scope\": " + quote(scope)
          + ", \"policy\": " + quote(policy) + ", \"qualification\": " + quote(qualification)
          + ", \"errors\": " + quote(errors) + ", \"warnings\": " + quote(warnings) + ", \"infos\": " + quote(infos)
          + ", \"missing\": " + quote(missing) + ", \"accepted\": " + accepted() + "}";
    }
  }

  public static void main(String[] arguments) {
    List<String> rest = new ArrayList<>(List.of(arguments));
    boolean json = rest.remove("--json");
    int option = rest.indexOf("--at");
    try {
      Instant at = null;
      if (option >= 0 && option + 1 < rest.size()) {
        at = Instant.parse(rest.remove(option + 1));
        rest.remove(option);
      }
      if (rest.size() != 2) {
        throw new IllegalArgumentException("usage: DssJudge EVIDENCE TRUST [--at 2026-01-31T12:00:00Z] [--json]");
      }
      byte[] evidence = Files.readAllBytes(Path.of(rest.get(0)));
      List<Judgement> judged = judge(evidence, Files.readString(Path.of(rest.get(1))), at);
      if (json) {
        System.out.println(judged.stream().map(Judgement::json).collect(Collectors.joining(",\n ", "[", "]")));
      } else {
        judged.forEach(judgement -> System.out.println(judgement.line()));
      }
      List<String> ids = judged.stream().map(Judgement::id).sorted().toList();
      boolean both = ids.equals(List.of("DeviceSignature", "Seal"));
      if (!both) {
        System.err.println("demanded: the signatures are DeviceSignature and Seal, not " + ids);
      }
      System.exit(both && judged.stream().allMatch(Judgement::accepted) ? 0 : 1);
    } catch (Exception error) { // whatever DSS or a parser throws at hostile bytes is a refusal
      System.err.println("not judged: " + error);
      System.exit(2);
    }
  }

  private static List<Judgement> judge(byte[] evidence, String trust, Instant at) throws Exception {
    CommonTrustedCertificateSource anchors = new CommonTrustedCertificateSource();
    List<InputStream> crls = new ArrayList<>();
    Matcher blocks = PEM.matcher(trust);
    while (blocks.find()) {
      byte[] der = Base64.getMimeDecoder().decode(blocks.group(2));
      if (blocks.group(1).equals("CERTIFICATE")) {
        anchors.addCertificate(DSSUtils.loadCertificate(der));
      } else {
        crls.add(new ByteArrayInputStream(der));
      }
    }
    crls.add(new ByteArrayInputStream(crlInside(evidence)));

    CommonCertificateVerifier verifier = new CommonCertificateVerifier(true); // true: no AIA; no online source is set
    verifier.setTrustedCertSources(anchors);
    verifier.setCrlSource(new ExternalResourcesCRLSource(crls.toArray(InputStream[]::new)));

    SignaturePolicyProvider policies = new SignaturePolicyProvider(); // without a data loader: nothing is fetched
    policies.setSignaturePoliciesById(Map.of(POLICY_ID, new InMemoryDocument(sealPolicy())));

    SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(new InMemoryDocument(evidence));
    validator.setCertificateVerifier(verifier);
    validator.setSignaturePolicyProvider(policies);
    if (at != null) {
      validator.setValidationTime(Date.from(at));
    }
    Reports reports = validator.validateDocument();
    List<Judgement> judged = new ArrayList<>();
    for (String id : reports.getSimpleReport().getSignatureIdList()) {
      judged.add(judgement(id, reports.getSimpleReport(), reports.getDiagnosticData()));
    }
    return judged;
  }

  private static Judgement judgement(String id, SimpleReport report, DiagnosticData data) {
    SignatureWrapper signature = data.getSignatureById(id);
    String name = String.valueOf(signature.getDAIdentifier());
    boolean seal = name.equals("Seal");
    List<XmlSignatureScope> scopes = signature.getSignatureScopes();
    boolean covers = scopes.size() == 1 && covers(scopes.get(0), seal);
    CertificateRefWrapper named = signature.getSigningCertificateReference();
    boolean hashed = POLICY_ID.equals(signature.getPolicyId()) && signature.isPolicyIdentified()
        && signature.isPolicyDigestAlgorithmsEqual() && signature.isPolicyDigestValid();

    List<String> missing = new ArrayList<>();
    if (report.getSignatureFormat(id) != SignatureLevel.XAdES_BASELINE_B) {
      missing.add("the level is XAdES-BASELINE-B");
    }
    if (!covers) {
      missing.add(seal ? "it covers the whole document, by the transforms of our format"
          : "it covers the statement, by the transform of our format");
    }
    if (named == null || !named.isDigestValueMatch() || !signature.isSigningCertificateReferenceUnique()) {
      missing.add("SigningCertificateV2 names the signing certificate"); // a warning in DSS's default policy
    }
    if (seal ? !hashed : signature.isPolicyPresent()) {
      missing.add(seal ? "the hash of the seal policy is right" : "it has no signature policy"); // likewise
    }
    return new Judgement(
        name,
        String.valueOf(report.getSignatureFormat(id)),
        String.valueOf(report.getIndication(id)),
        report.getSubIndication(id) == null ? "-" : report.getSubIndication(id).toString(),
        scopes.stream().map(scope -> scope.getScope() + " " + scope.getName()).collect(Collectors.joining(", ")),
        !signature.isPolicyPresent() ? "none" : hashed ? "hash is right" : "hash not confirmed",
        String.valueOf(report.getSignatureQualification(id)),
        texts(report.getAdESValidationErrors(id)),
        texts(report.getAdESValidationWarnings(id)),
        texts(report.getAdESValidationInfo(id)),
        missing);
  }

  /** Scope and transforms: DSS calls a scope full even where an XPath transform has thinned it out. */
  private static boolean covers(XmlSignatureScope scope, boolean seal) {
    return seal
        ? scope.getScope() == SignatureScopeType.FULL
            && scope.getTransformations().equals(List.of(ENVELOPED, EXCLUSIVE))
        : scope.getScope() == SignatureScopeType.PARTIAL && "Statement".equals(scope.getName())
            && scope.getTransformations().equals(List.of(EXCLUSIVE));
  }

  /** The device CA's CRL, which stands in ev:DeviceSignature; DSS looks for CRLs in unsigned properties alone. */
  private static byte[] crlInside(byte[] evidence) throws Exception {
    DocumentBuilderFactory factory = DocumentBuilderFactory.newDefaultNSInstance();
    factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
    NodeList found = factory.newDocumentBuilder().parse(new ByteArrayInputStream(evidence))
        .getElementsByTagNameNS(EVIDENCE, "CRL");
    if (found.getLength() != 1) {
      throw new IllegalArgumentException("the document does not hold exactly one CRL");
    }
    return Base64.getDecoder().decode(found.item(0).getTextContent());
  }

  private static byte[] sealPolicy() throws IOException {
    try (InputStream file = DssJudge.class.getResourceAsStream("/seal-policy-1.txt")) {
      return file.readAllBytes();
    }
  }

  private static List<String> texts(List<Message> messages) {
    return messages.stream().map(message -> message.getKey() + ": " + message.getValue()).toList();
  }

  private static String quote(List<String> values) {
    return values.stream().map(DssJudge::quote).collect(Collectors.joining(", ", "[", "]"));
  }

  private static String quote(String value) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char c : value.toCharArray()) {
      quoted.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
    }
    return quoted.append('"').toString();
  }

  private DssJudge() {}
}
