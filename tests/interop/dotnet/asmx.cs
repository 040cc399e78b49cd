/*
 * C#, the proxy that wsdl.exe makes (ASP.NET web services): one consent signature, from start to evidence.
 *
 * Install:   .NET Framework; or Mono: apt-get install mono-devel mono-mcs
 * Generate:  make GATEWAY_WSDL=https://.../soap/v1?wsdl      (wsdl.exe, xsd.exe, mcs: see Makefile)
 * Call:      GATEWAY_WSDL=... GATEWAY_USER=... GATEWAY_SECRET=... mono target/asmx.exe
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
using System;
using System.Web.Services.Protocols;
using System.Xml;
using System.Xml.Serialization;

/* The UsernameToken, as a header that the proxy's methods send. */
[XmlRoot("Security", Namespace = Walk.Wsse)]
public class Security : SoapHeader {
    [XmlElement(Namespace = Walk.Wsse)]
    public Token UsernameToken = new Token();

    public class Token {
        [XmlElement(Namespace = Walk.Wsse)]
        public string Username = Walk.Env("GATEWAY_USER");
        [XmlElement(Namespace = Walk.Wsse)]
        public string Password = Walk.Env("GATEWAY_SECRET");
    }
}

namespace Gateway.Proxy {
    public partial class MobileIdGateway {
        public Security Security = new Security();
    }
}

static class Program {
    static readonly Gateway.Proxy.MobileIdGateway Service = new Gateway.Proxy.MobileIdGateway {
        Url = Walk.Address,
        SoapVersion = Walk.Twelve ? SoapProtocolVersion.Soap12 : SoapProtocolVersion.Soap11,
    };

    static Gateway.Proxy.Transaction Start(string text) {
        var shown = new Gateway.Proxy.ShownContent { title = Walk.Title, content = text, mediaType = "text/plain" };
        return Service.StartConsentSignature(
            Guid.NewGuid().ToString(), Walk.Env("EXTERNAL_REF"), null, null, "de", shown, null, 0, false);
    }

    /* A fault's detail is XML; xsd.exe made the class for it. */
    static Gateway.GatewayFault Refused() {
        try {
            Start(Walk.Refused);
        } catch (SoapException error) {
            var serializer = new XmlSerializer(typeof(Gateway.GatewayFault));
            return (Gateway.GatewayFault)serializer.Deserialize(new XmlNodeReader(error.Detail.FirstChild));
        }
        return null;
    }

    static void Main() {
        string version, level, id;
        bool database;
        DateTime sealedAt;
        byte[] document;
        Service.Heartbeat(out version, out database);
        var started = Start(Walk.Text);
        var last = started;
        while (!Walk.Ended(last.state))
            last = Service.GetTransaction(started.transactionId, 20, true);
        id = started.transactionId;
        Service.GetEvidence(ref id, out level, out sealedAt, out document);
        Walk.Print(database, id, started.state, started.createdAt, last.state, last.decidedAt, last.amr,
                   document, Service.VerifyEvidence(document).indication, Refused());
    }
}
