/*
 * C#, WCF: one consent signature, from start to evidence.
 *
 * Install:   .NET: dotnet add package System.ServiceModel.Http; or Mono: apt-get install mono-devel mono-mcs
 * Generate:  dotnet-svcutil https://.../soap/v1?wsdl; on Mono, whose svcutil cannot, the contract below and make
 * Call:      GATEWAY_WSDL=... GATEWAY_USER=... GATEWAY_SECRET=... mono target/wcf.exe
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
using System;
using System.Runtime.Serialization;
using System.ServiceModel;
using System.ServiceModel.Channels;
using System.Text;
using System.Xml;
using Gateway;

[ServiceContract(Namespace = Walk.Namespace)]
public interface IMobileIdGateway {
    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":Heartbeat", ReplyAction = "*")]
    HeartbeatOut Heartbeat(HeartbeatIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":StartConsentSignature", ReplyAction = "*")]
    [FaultContract(typeof(GatewayFaultDetail), Name = "GatewayFault", Namespace = Walk.Namespace)]
    StartConsentSignatureOut StartConsentSignature(StartConsentSignatureIn request);

    [XmlSerializerFormat]
    [OperationContract(Action = Walk.Namespace + ":GetTransaction", ReplyAction = "*")]
    GetTransactionOut GetTransaction(GetTransactionIn request);

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
public class StartConsentSignatureIn {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartConsentSignature StartConsentSignature;
}

[MessageContract(IsWrapped = false)]
public class StartConsentSignatureOut {
    [MessageBodyMember(Namespace = Walk.Namespace)] public StartConsentSignatureResponse StartConsentSignatureResponse;
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

    static Transaction Start(string text) {
        var request = new StartConsentSignature {
            requestId = Guid.NewGuid().ToString(),
            externalRef = Walk.Env("EXTERNAL_REF"),
            locale = "de",
            preContext = new ShownContent { title = Walk.Title, content = text, mediaType = "text/plain" },
        };
        return Call(() => gateway.StartConsentSignature(
            new StartConsentSignatureIn { StartConsentSignature = request })).StartConsentSignatureResponse.transaction;
    }

    static GatewayFault Refused() {
        try {
            Start(Walk.Refused);
        } catch (FaultException<GatewayFaultDetail> error) {
            var found = error.Detail;
            return new GatewayFault {
                code = found.code,
                group = found.group,
                message = found.message,
                correlationId = found.correlationId,
                retryable = found.retryable,
                field = found.field,
            };
        }
        return null;
    }

    static void Main() {
        var address = new EndpointAddress(Walk.Address);
        gateway = new ChannelFactory<IMobileIdGateway>(MakeBinding(), address).CreateChannel();
        var beat = new HeartbeatIn { Heartbeat = new Heartbeat() };
        var heartbeat = Call(() => gateway.Heartbeat(beat)).HeartbeatResponse;
        var started = Start(Walk.Text);
        var last = started;
        while (!Walk.Ended(last.state)) {
            var ask = new GetTransaction {
                transactionId = started.transactionId,
                waitSeconds = 20,
                waitSecondsSpecified = true,
            };
            last = Call(() => gateway.GetTransaction(
                new GetTransactionIn { GetTransaction = ask })).GetTransactionResponse.transaction;
        }
        var get = new GetEvidence { transactionId = started.transactionId };
        var evidence = Call(() => gateway.GetEvidence(new GetEvidenceIn { GetEvidence = get })).GetEvidenceResponse;
        var verify = new VerifyEvidence { document = evidence.document };
        var conclusion = Call(() => gateway.VerifyEvidence(
            new VerifyEvidenceIn { VerifyEvidence = verify })).VerifyEvidenceResponse.conclusion;
        Walk.Print(heartbeat.database, started.transactionId, started.state, started.createdAt, last.state,
                   last.decidedAt, last.amr, evidence.document, conclusion.indication, Refused());
    }
}
