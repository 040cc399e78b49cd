/*
 * C#, WCF: one operation of each kind, from a registration to evidence and a redeemed code.
 *
 * Install:   .NET: dotnet add package System.ServiceModel.Http; or Mono: apt-get install mono-devel mono-mcs
 * Generate:  dotnet-svcutil https://.../soap/v1?wsdl; on Mono, whose svcutil cannot, the contract below and make
 * Call:      GATEWAY_WSDL=... GATEWAY_USER=... GATEWAY_SECRET=... mono target/wcf.exe
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF (the person), CONSENT (a text file) and OUT (where the evidence goes)
 * are as in every program beside this one. Each answer is printed as one line of JSON; the person with the phone
 * reads there what a bank's screen would show.
 */
using System;
using System.IO;
using System.Runtime.Serialization;
using System.ServiceModel;
using System.ServiceModel.Channels;
using System.Text;
using System.Threading;
using System.Xml;
using Gateway;

[ServiceContract(Namespace = Walk.Namespace)]
public interface IMobileIdGateway {
    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":Heartbeat", ReplyAction = "*")]
    HeartbeatOut Heartbeat(HeartbeatIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":StartRegistration", ReplyAction = "*")]
    StartRegistrationOut StartRegistration(StartRegistrationIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":GetRegistration", ReplyAction = "*")]
    GetRegistrationOut GetRegistration(GetRegistrationIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":ListDevices", ReplyAction = "*")]
    ListDevicesOut ListDevices(ListDevicesIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":StartAuthentication", ReplyAction = "*")]
    StartAuthenticationOut StartAuthentication(StartAuthenticationIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":StartAuthorisation", ReplyAction = "*")]
    StartAuthorisationOut StartAuthorisation(StartAuthorisationIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":StartConsentSignature", ReplyAction = "*")]
    [FaultContract(typeof(GatewayFaultDetail), Name = "GatewayFault", Namespace = Walk.Namespace)]
    StartConsentSignatureOut StartConsentSignature(StartConsentSignatureIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":StartTextSignature", ReplyAction = "*")]
    StartTextSignatureOut StartTextSignature(StartTextSignatureIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":GetTransaction", ReplyAction = "*")]
    GetTransactionOut GetTransaction(GetTransactionIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":RedeemAuthenticationCode", ReplyAction = "*")]
    RedeemAuthenticationCodeOut RedeemAuthenticationCode(RedeemAuthenticationCodeIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":GetEvidence", ReplyAction = "*")]
    GetEvidenceOut GetEvidence(GetEvidenceIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":VerifyEvidence", ReplyAction = "*")]
    VerifyEvidenceOut VerifyEvidence(VerifyEvidenceIn request);
}

[MessageContract(IsWrapped = false)]
public class HeartbeatIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public Heartbeat Heartbeat;
}

[MessageContract(IsWrapped = false)]
public class HeartbeatOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public HeartbeatResponse HeartbeatResponse;
}

[MessageContract(IsWrapped = false)]
public class StartRegistrationIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartRegistration StartRegistration;
}

[MessageContract(IsWrapped = false)]
public class StartRegistrationOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartRegistrationResponse StartRegistrationResponse;
}

[MessageContract(IsWrapped = false)]
public class GetRegistrationIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public GetRegistration GetRegistration;
}

[MessageContract(IsWrapped = false)]
public class GetRegistrationOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public GetRegistrationResponse GetRegistrationResponse;
}

[MessageContract(IsWrapped = false)]
public class ListDevicesIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public ListDevices ListDevices;
}

[MessageContract(IsWrapped = false)]
public class ListDevicesOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public ListDevicesResponse ListDevicesResponse;
}

[MessageContract(IsWrapped = false)]
public class StartAuthenticationIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartAuthentication StartAuthentication;
}

[MessageContract(IsWrapped = false)]
public class StartAuthenticationOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartAuthenticationResponse StartAuthenticationResponse;
}

[MessageContract(IsWrapped = false)]
public class StartAuthorisationIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartAuthorisation StartAuthorisation;
}

[MessageContract(IsWrapped = false)]
public class StartAuthorisationOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartAuthorisationResponse StartAuthorisationResponse;
}

[MessageContract(IsWrapped = false)]
public class StartConsentSignatureIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartConsentSignature StartConsentSignature;
}

[MessageContract(IsWrapped = false)]
public class StartConsentSignatureOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartConsentSignatureResponse StartConsentSignatureResponse;
}

[MessageContract(IsWrapped = false)]
public class StartTextSignatureIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartTextSignature StartTextSignature;
}

[MessageContract(IsWrapped = false)]
public class StartTextSignatureOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartTextSignatureResponse StartTextSignatureResponse;
}

[MessageContract(IsWrapped = false)]
public class GetTransactionIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public GetTransaction GetTransaction;
}

[MessageContract(IsWrapped = false)]
public class GetTransactionOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public GetTransactionResponse GetTransactionResponse;
}

[MessageContract(IsWrapped = false)]
public class RedeemAuthenticationCodeIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public RedeemAuthenticationCode RedeemAuthenticationCode;
}

[MessageContract(IsWrapped = false)]
public class RedeemAuthenticationCodeOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public RedeemAuthenticationCodeResponse RedeemAuthenticationCodeResponse;
}

[MessageContract(IsWrapped = false)]
public class GetEvidenceIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public GetEvidence GetEvidence;
}

[MessageContract(IsWrapped = false)]
public class GetEvidenceOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public GetEvidenceResponse GetEvidenceResponse;
}

[MessageContract(IsWrapped = false)]
public class VerifyEvidenceIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public VerifyEvidence VerifyEvidence;
}

[MessageContract(IsWrapped = false)]
public class VerifyEvidenceOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public VerifyEvidenceResponse VerifyEvidenceResponse;
}

/* Faults are read by DataContractSerializer, which wants the order of the elements said. */
[DataContract(Name = "GatewayFault", Namespace = Walk.Namespace)]
public class GatewayFaultDetail {
    [DataMember(Order = 0, IsRequired = true)] public string code;
    [DataMember(Order = 1, IsRequired = true)] public string group;
    [DataMember(Order = 2, IsRequired = true)] public string message;
    [DataMember(Order = 3, IsRequired = true)] public string correlationId;
    [DataMember(Order = 4, IsRequired = true)] public bool retryable;
    [DataMember(Order = 5)] public string field;
}

/* WCF's own UserName credentials need TransportWithMessageCredential, and so HTTPS; this needs neither. */
class Security : MessageHeader {
    public override string Name { get { return "Security"; } }
    public override string Namespace { get { return Walk.Wsse; } }

    protected override void OnWriteHeaderContents(XmlDictionaryWriter writer, MessageVersion version) {
        writer.WriteStartElement("UsernameToken", Walk.Wsse);
        writer.WriteElementString("Username", Walk.Wsse, Walk.Env("GATEWAY_USER"));
        writer.WriteElementString("Password", Walk.Wsse, Walk.Env("GATEWAY_SECRET"));
        writer.WriteEndElement();
    }
}

static class Program {
    const int Most = 16 * 1024 * 1024;   // bytes of a message; WCF's default is 64 KiB
    static IMobileIdGateway gateway;

    /* basicHttpBinding is SOAP 1.1; for SOAP 1.2 without WS-Addressing a binding is made of its parts. */
    static Binding MakeBinding() {
        if (!Walk.Twelve)
            return new BasicHttpBinding { MaxReceivedMessageSize = Most, ReaderQuotas = XmlDictionaryReaderQuotas.Max };
        var version = MessageVersion.CreateVersion(EnvelopeVersion.Soap12, AddressingVersion.None);
        return new CustomBinding(
            new TextMessageEncodingBindingElement(version, Encoding.UTF8) {
                ReaderQuotas = XmlDictionaryReaderQuotas.Max
            },
            new HttpTransportBindingElement { MaxReceivedMessageSize = Most });
    }

    static T Call<T>(Func<T> operation) {
        using (new OperationContextScope((IContextChannel)gateway)) {
            OperationContext.Current.OutgoingMessageHeaders.Add(new Security());
            return operation();
        }
    }

    static void Main() {
        var address = new EndpointAddress(Walk.Address);
        gateway = new ChannelFactory<IMobileIdGateway>(MakeBinding(), address).CreateChannel();
        var beat = new HeartbeatIn { Heartbeat = new Heartbeat() };
        var heartbeat = Walk.Say("Heartbeat", Call(() => gateway.Heartbeat(beat)).HeartbeatResponse);
        Walk.Must(heartbeat.database, "the gateway has no database");

        var registration = Activated();
        var list = new ListDevicesIn { ListDevices = new ListDevices { externalRef = Walk.Person } };
        var devices = Walk.Say("ListDevices", Call(() => gateway.ListDevices(list)).ListDevicesResponse).device;
        Walk.Must(devices.Length == 1 && devices[0].deviceId == registration.deviceId, "not the one device");

        ConsentSignature();
        TextSignature();
        Authentication();
        Authorisation();
        Refused();
    }

    /* A registration, once the person's app has bound their device. */
    static Registration Activated() {
        var request = new StartRegistration {
            requestId = Walk.RequestId,
            externalRef = Walk.Person,
            attribute = new[] { new IdentityAttribute { name = "name", value = "Zoë Ångström-Şahin" } },
        };
        var last = Walk.Say("StartRegistration", Call(() => gateway.StartRegistration(
            new StartRegistrationIn { StartRegistration = request })).StartRegistrationResponse).registration;
        var get = new GetRegistration { registrationId = last.registrationId };
        while (last.state != "ACTIVATED") {
            Walk.Must(last.state == "PENDING", "it ended as " + last.state);
            Thread.Sleep(200);
            last = Walk.Say("GetRegistration", Call(() => gateway.GetRegistration(
                new GetRegistrationIn { GetRegistration = get })).GetRegistrationResponse).registration;
        }
        return last;
    }

    /* The transaction once the person has approved it; each call waits for that. */
    static Transaction Approved(string operation, Transaction started) {
        var last = Walk.Say(operation, started);
        var get = new GetTransaction {
            transactionId = started.transactionId,
            waitSeconds = 20,
            waitSecondsSpecified = true,
        };
        while (!Walk.Ended(last.state))
            last = Walk.Say("GetTransaction", Call(() => gateway.GetTransaction(
                new GetTransactionIn { GetTransaction = get })).GetTransactionResponse).transaction;
        Walk.Must(last.state == "COMPLETED", "it ended as " + last.state);
        return last;
    }

    /* The code serves once, and of a payment for the very payment that was signed. */
    static void Redeem(Transaction transaction, Payment payment) {
        var request = new RedeemAuthenticationCode {
            requestId = Walk.RequestId,
            transactionId = transaction.transactionId,
            authenticationCode = transaction.authenticationCode,
            payment = payment,
        };
        var answer = Call(() => gateway.RedeemAuthenticationCode(
            new RedeemAuthenticationCodeIn { RedeemAuthenticationCode = request }));
        var done = Walk.Say("RedeemAuthenticationCode", answer.RedeemAuthenticationCodeResponse).transaction;
        Walk.Must(done.redeemedAtSpecified, "the code was not redeemed");
    }

    static void ConsentSignature() {
        var signed = Approved("StartConsentSignature", StartConsentSignature(Walk.Text));
        var get = new GetEvidence { transactionId = signed.transactionId };
        var evidence = Walk.Say("GetEvidence", Call(() => gateway.GetEvidence(
            new GetEvidenceIn { GetEvidence = get })).GetEvidenceResponse);
        File.WriteAllBytes(Walk.Env("OUT"), evidence.document);
        var verify = new VerifyEvidence { document = evidence.document };
        var conclusion = Walk.Say("VerifyEvidence", Call(() => gateway.VerifyEvidence(
            new VerifyEvidenceIn { VerifyEvidence = verify })).VerifyEvidenceResponse).conclusion;
        Walk.Must(conclusion.indication == "TOTAL-PASSED", conclusion.explanation);
    }

    static Transaction StartConsentSignature(string content) {
        var request = new StartConsentSignature {
            requestId = Walk.RequestId,
            externalRef = Walk.Person,
            locale = "de",
            preContext = Text(Walk.Title, content),
        };
        return Call(() => gateway.StartConsentSignature(
            new StartConsentSignatureIn { StartConsentSignature = request })).StartConsentSignatureResponse.transaction;
    }

    static void TextSignature() {
        var request = new StartTextSignature {
            requestId = Walk.RequestId,
            externalRef = Walk.Person,
            locale = "de",
            text = new[] {
                Text("Kartenbedingungen", "Ich habe die Bedingungen gelesen."),
                Text("Gebühren", "Ich zahle € 25,00 im Jahr."),
            },
        };
        Approved("StartTextSignature", Call(() => gateway.StartTextSignature(
            new StartTextSignatureIn { StartTextSignature = request })).StartTextSignatureResponse.transaction);
    }

    static void Authentication() {
        var request = new StartAuthentication {
            requestId = Walk.RequestId,
            externalRef = Walk.Person,
            locale = "de",
        };
        Redeem(Approved("StartAuthentication", Call(() => gateway.StartAuthentication(
            new StartAuthenticationIn { StartAuthentication = request })).StartAuthenticationResponse.transaction), null);
    }

    static void Authorisation() {
        var payee = new Payee { name = "Garage Müller", account = "DE89370400440532013000", amount = "1250.00" };
        var payment = new Payment { total = "1250.00", currency = "EUR", payee = new[] { payee } };
        var request = new StartAuthorisation {
            requestId = Walk.RequestId,
            externalRef = Walk.Person,
            locale = "de",
            payment = payment,
        };
        Redeem(Approved("StartAuthorisation", Call(() => gateway.StartAuthorisation(
            new StartAuthorisationIn { StartAuthorisation = request })).StartAuthorisationResponse.transaction), payment);
    }

    static ShownContent Text(string title, string content) {
        return new ShownContent { title = title, content = content, mediaType = "text/plain" };
    }

    static void Refused() {
        try {
            StartConsentSignature(Walk.Wrong);
        } catch (FaultException<GatewayFaultDetail> error) {
            var found = error.Detail;
            Walk.Print("StartConsentSignature", "fault", new {
                found.code, found.group, found.message, found.correlationId, found.retryable, found.field,
            });
        }
    }
}
