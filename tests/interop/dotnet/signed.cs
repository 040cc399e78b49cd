/*
 * C#, SignedXml: a signed call, and an answer that is the gateway's or is refused.
 *
 * Install:   .NET: dotnet add package System.Security.Cryptography.Xml; or Mono: apt-get install mono-devel mono-mcs
 * Generate:  make target/signed.exe target/caller.p12     (xsd.exe, mcs, openssl: see Makefile)
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl KEYSTORE=target/caller.p12 KEYSTORE_PASSWORD=...
 *            GATEWAY_CERTIFICATE=message.pem mono target/signed.exe
 *
 * SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one.
 */
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Security.Cryptography.Xml;
using System.Text;
using System.Xml;
using System.Xml.Serialization;
using Gateway;

static class Names {
    public const string Soap11 = "http://schemas.xmlsoap.org/soap/envelope/";
    public const string Soap12 = "http://www.w3.org/2003/05/soap-envelope";
    public const string Wsu = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
    public const string Wsse11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd";
    public const string X509v3 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3";
    public const string Base64 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary";
    public const string RsaSha256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
    public const string Sha256 = "http://www.w3.org/2001/04/xmlenc#sha256";
    public static readonly string Soap = Walk.Twelve ? Soap12 : Soap11;
}

/* The answer is not the gateway's. */
class Refused : Exception {
    public Refused(string says) : base(says) { }
}

/* The gateway's fault, from an answer that is its. */
class GatewayException : Exception {
    public readonly GatewayFault Fault;
    public GatewayException(GatewayFault fault) : base(fault.message) { Fault = fault; }
}

/* SignedXml that finds nodes by wsu:Id, and none where an id stands twice. */
class WsuSignedXml : SignedXml {
    public WsuSignedXml(XmlDocument document) : base(document) { Resolver = null; }

    public override XmlElement GetIdElement(XmlDocument document, string id) {
        var found = document.SelectNodes("//@*[local-name() = 'Id' or local-name() = 'ID' or local-name() = 'id']")
            .Cast<XmlAttribute>().Where(attribute => attribute.Value == id).ToList();
        return found.Count == 1 && found[0].NamespaceURI == Names.Wsu ? found[0].OwnerElement : null;
    }
}

class SignedGateway {
    readonly HttpClient http = new HttpClient();
    readonly X509Certificate2 caller, gateway;

    public SignedGateway(X509Certificate2 caller, X509Certificate2 gateway) {
        this.caller = caller;
        this.gateway = gateway;
    }

    public TResponse Call<TRequest, TResponse>(TRequest request) {
        byte[] sent;
        var content = new StringContent(Signed(request, out sent).OuterXml, Encoding.UTF8,
            Walk.Twelve ? "application/soap+xml" : "text/xml");
        var answer = http.PostAsync(Walk.Address, content).Result.Content.ReadAsStreamAsync().Result;
        var said = (XmlElement)Verified(Read(answer), sent).FirstChild;
        if (said.LocalName != "Fault" || said.NamespaceURI != Names.Soap)
            return Deserialized<TResponse>(said);
        var detail = said.ChildNodes.OfType<XmlElement>().Last(); // detail in SOAP 1.1, Detail in 1.2
        throw new GatewayException(Deserialized<GatewayFault>((XmlElement)detail.FirstChild));
    }

    XmlDocument Signed(object request, out byte[] signatureValue) {
        string time = NewId(), token = NewId(), body = NewId();
        var now = DateTime.UtcNow;
        var envelope = new XmlDocument { PreserveWhitespace = true };
        envelope.LoadXml(
            $"<s:Envelope xmlns:s='{Names.Soap}' xmlns:u='{Names.Wsu}'><s:Header>" +
            $"<w:Security xmlns:w='{Walk.Wsse}' s:mustUnderstand='1'>" +
            $"<u:Timestamp u:Id='{time}'><u:Created>{Moment(now)}</u:Created>" +
            $"<u:Expires>{Moment(now.AddMinutes(5))}</u:Expires></u:Timestamp>" +
            $"<w:BinarySecurityToken u:Id='{token}' ValueType='{Names.X509v3}' EncodingType='{Names.Base64}'>" +
            $"{Convert.ToBase64String(caller.RawData)}</w:BinarySecurityToken>" +
            $"</w:Security></s:Header><s:Body u:Id='{body}'/></s:Envelope>");
        envelope.DocumentElement.LastChild.AppendChild(envelope.ImportNode(Serialized(request), true));

        var signer = new WsuSignedXml(envelope) { SigningKey = caller.GetRSAPrivateKey() };
        signer.SignedInfo.CanonicalizationMethod = SignedXml.XmlDsigExcC14NTransformUrl;
        signer.SignedInfo.SignatureMethod = Names.RsaSha256;
        foreach (var id in new[] { time, body }) {
            var reference = new Reference("#" + id) { DigestMethod = Names.Sha256 };
            reference.AddTransform(new XmlDsigExcC14NTransform());
            signer.AddReference(reference);
        }
        var holder = new XmlDocument();
        holder.LoadXml($"<w:SecurityTokenReference xmlns:w='{Walk.Wsse}'>" +
            $"<w:Reference URI='#{token}' ValueType='{Names.X509v3}'/></w:SecurityTokenReference>");
        signer.KeyInfo.AddClause(new KeyInfoNode(holder.DocumentElement));
        signer.ComputeSignature();
        envelope.DocumentElement.FirstChild.FirstChild.AppendChild(envelope.ImportNode(signer.GetXml(), true));
        signatureValue = signer.SignatureValue;
        return envelope;
    }

    /* The Body of an answer that the gateway signed, to this request; throws Refused. */
    XmlElement Verified(XmlDocument answer, byte[] sent) {
        var security = Only(Only(answer.DocumentElement, Names.Soap, "Header"), Walk.Wsse, "Security");
        var timestamp = Only(security, Names.Wsu, "Timestamp");
        var confirmation = Only(security, Names.Wsse11, "SignatureConfirmation");
        var body = Only(answer.DocumentElement, Names.Soap, "Body");
        var verifier = new WsuSignedXml(answer);
        verifier.LoadXml(Only(security, SignedXml.XmlDsigNamespaceUrl, "Signature"));

        /* SignedXml verifies what is referred to, by the means that are named: these very nodes, and those means. */
        var references = verifier.SignedInfo.References.Cast<Reference>().ToList();
        Must(verifier.SignedInfo.SignatureMethod == Names.RsaSha256, "another algorithm");
        Must(verifier.SignedInfo.CanonicalizationMethod == SignedXml.XmlDsigExcC14NTransformUrl, "another C14N");
        Must(references.All(reference => reference.Uri != null && reference.Uri.StartsWith("#")
            && reference.DigestMethod == Names.Sha256 && reference.TransformChain.Count == 1
            && reference.TransformChain[0] is XmlDsigExcC14NTransform), "another kind of Reference");
        var signed = references.Select(reference => verifier.GetIdElement(answer, reference.Uri.Substring(1))).ToList();
        foreach (var part in new[] { body, timestamp, confirmation })
            Must(signed.Contains(part), part.LocalName + " is not signed");

        Must(verifier.CheckSignature(gateway.GetRSAPublicKey()), "the signature does not hold");
        var expires = Only(timestamp, Names.Wsu, "Expires").InnerText;
        Must(XmlConvert.ToDateTime(expires, XmlDateTimeSerializationMode.Utc) > DateTime.UtcNow, "too old");
        Must(confirmation.GetAttribute("Value") == Convert.ToBase64String(sent), "the answer to another request");
        return body;
    }

    static XmlDocument Read(Stream answer) {
        var document = new XmlDocument { PreserveWhitespace = true, XmlResolver = null };
        var settings = new XmlReaderSettings {
            DtdProcessing = DtdProcessing.Prohibit,
            XmlResolver = null,
            IgnoreComments = true, // they are not signed
        };
        try {
            document.Load(XmlReader.Create(answer, settings));
        } catch (XmlException error) {
            throw new Refused(error.Message);
        }
        return document;
    }

    static XmlElement Only(XmlElement parent, string space, string name) {
        var found = parent.ChildNodes.OfType<XmlElement>()
            .Where(child => child.NamespaceURI == space && child.LocalName == name).ToList();
        Must(found.Count == 1, found.Count + " of " + name);
        return found[0];
    }

    static void Must(bool holds, string says) {
        if (!holds)
            throw new Refused(says);
    }

    static XmlElement Serialized(object request) {
        var document = new XmlDocument { PreserveWhitespace = true };
        var text = new StringWriter();
        new XmlSerializer(request.GetType()).Serialize(text, request);
        document.LoadXml(text.ToString());
        return document.DocumentElement;
    }

    static T Deserialized<T>(XmlElement element) {
        return (T)new XmlSerializer(typeof(T)).Deserialize(new XmlNodeReader(element));
    }

    static string NewId() {
        return "id-" + Guid.NewGuid();
    }

    static string Moment(DateTime time) {
        return XmlConvert.ToString(time, "yyyy-MM-ddTHH:mm:ss.fffZ");
    }
}

static class Program {
    static readonly SignedGateway Service = new SignedGateway(
        new X509Certificate2(Walk.Env("KEYSTORE"), Walk.Env("KEYSTORE_PASSWORD")),
        new X509Certificate2(Walk.Env("GATEWAY_CERTIFICATE")));

    static void Main() {
        Try<StartRegistration, StartRegistrationResponse>("StartRegistration", new StartRegistration {
            requestId = Walk.RequestId,
            externalRef = Walk.Person,
            attribute = new[] { new IdentityAttribute { name = "name", value = "Zoë & Ångström <Şahin>" } },
        });
        Try<GetTransaction, GetTransactionResponse>("GetTransaction", new GetTransaction {
            transactionId = "00000000-0000-7000-8000-000000000000",
        });
    }

    static void Try<TRequest, TResponse>(string operation, TRequest request) {
        try {
            Walk.Say(operation, Service.Call<TRequest, TResponse>(request));
        } catch (GatewayException error) {
            Walk.Print(operation, "fault", error.Fault);
        } catch (Refused error) {
            Walk.Print(operation, "refused", error.Message);
        }
    }
}
