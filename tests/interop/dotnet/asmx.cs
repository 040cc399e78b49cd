/*
 * C#, the proxy that wsdl.exe makes (ASP.NET web services): one operation of each kind, to evidence and a redeemed code.
 *
 * Install:   .NET Framework; or Mono: apt-get install mono-devel mono-mcs
 * Generate:  make GATEWAY_WSDL=https://.../soap/v1?wsdl      (wsdl.exe, xsd.exe, mcs: see Makefile)
 * Call:      GATEWAY_WSDL=... GATEWAY_USER=... GATEWAY_SECRET=... mono target/asmx.exe
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF (the person), CONSENT (a text file) and OUT (where the evidence goes)
 * are as in every program beside this one. Each answer is printed as one line of JSON; the person with the phone
 * reads there what a bank's screen would show.
 */
using System;
using System.IO;
using System.Threading;
using System.Web.Services.Protocols;
using System.Xml;
using System.Xml.Serialization;
using Gateway.Proxy;

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
    static readonly MobileIdGateway Service = new MobileIdGateway {
        Url = Walk.Address,
        SoapVersion = Walk.Twelve ? SoapProtocolVersion.Soap12 : SoapProtocolVersion.Soap11,
    };

    static void Main() {
        string version;
        bool database;
        var time = Service.Heartbeat(out version, out database);
        Walk.Say("Heartbeat", new { time, version, database });
        Walk.Must(database, "the gateway has no database");

        var registration = Activated();
        var devices = Walk.Say("ListDevices", Service.ListDevices(Walk.Person));
        Walk.Must(devices.Length == 1 && devices[0].deviceId == registration.deviceId, "not the one device");

        ConsentSignature();
        var texts = new[] {
            Text("Kartenbedingungen", "Ich habe die Bedingungen gelesen."),
            Text("Gebühren", "Ich zahle € 25,00 im Jahr."),
        };
        Approved(Walk.Say("StartTextSignature", Service.StartTextSignature(
            Walk.RequestId, Walk.Person, null, null, "de", texts, null, 0, false)));
        Redeem(Approved(Walk.Say("StartAuthentication", Service.StartAuthentication(
            Walk.RequestId, Walk.Person, null, null, "de", null, null, 0, false))), null);
        var payment = new Payment {
            total = "1250.00",
            currency = "EUR",
            payee = new[] {
                new Payee { name = "Garage Müller", account = "DE89370400440532013000", amount = "1250.00" },
            },
        };
        Redeem(Approved(Walk.Say("StartAuthorisation", Service.StartAuthorisation(
            Walk.RequestId, Walk.Person, null, null, "de", payment, null, null, 0, false))), payment);
        Refused();
    }

    /* A registration, once the person's app has bound their device. */
    static Registration Activated() {
        var name = new IdentityAttribute { name = "name", value = "Zoë Ångström-Şahin" };
        var last = Walk.Say("StartRegistration", Service.StartRegistration(
            Walk.RequestId, Walk.Person, new[] { name }, null));
        while (last.state != "ACTIVATED") {
            Walk.Must(last.state == "PENDING", "it ended as " + last.state);
            Thread.Sleep(200);
            last = Walk.Say("GetRegistration", Service.GetRegistration(last.registrationId));
        }
        return last;
    }

    /* The transaction once the person has approved it; each call waits for that. */
    static Transaction Approved(Transaction started) {
        var last = started;
        while (!Walk.Ended(last.state))
            last = Walk.Say("GetTransaction", Service.GetTransaction(started.transactionId, 20, true));
        Walk.Must(last.state == "COMPLETED", "it ended as " + last.state);
        return last;
    }

    /* The code serves once, and of a payment for the very payment that was signed. */
    static void Redeem(Transaction transaction, Payment payment) {
        var done = Walk.Say("RedeemAuthenticationCode", Service.RedeemAuthenticationCode(
            Walk.RequestId, transaction.transactionId, transaction.authenticationCode, payment));
        Walk.Must(done.redeemedAtSpecified, "the code was not redeemed");
    }

    static void ConsentSignature() {
        var started = Walk.Say("StartConsentSignature", StartConsentSignature(Walk.Text));
        var transactionId = Approved(started).transactionId;
        string level;
        DateTime sealedAt;
        byte[] document;
        var evidenceId = Service.GetEvidence(ref transactionId, out level, out sealedAt, out document);
        Walk.Say("GetEvidence", new { evidenceId, transactionId, level, sealedAt, document });
        File.WriteAllBytes(Walk.Env("OUT"), document);
        var conclusion = Walk.Say("VerifyEvidence", Service.VerifyEvidence(document));
        Walk.Must(conclusion.indication == "TOTAL-PASSED", conclusion.explanation);
    }

    static Transaction StartConsentSignature(string content) {
        return Service.StartConsentSignature(
            Walk.RequestId, Walk.Person, null, null, "de", Text(Walk.Title, content), null, 0, false);
    }

    static ShownContent Text(string title, string content) {
        return new ShownContent { title = title, content = content, mediaType = "text/plain" };
    }

    /* A fault's detail is XML; xsd.exe made the class for it. */
    static void Refused() {
        try {
            StartConsentSignature(Walk.Wrong);
        } catch (SoapException error) {
            var serializer = new XmlSerializer(typeof(Gateway.GatewayFault));
            var fault = serializer.Deserialize(new XmlNodeReader(error.Detail.FirstChild));
            Walk.Print("StartConsentSignature", "fault", fault);
        }
    }
}
