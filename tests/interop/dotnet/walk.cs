/* What both .NET programs share: the walk's parameters, and the line that they print. */
using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

static class Walk {
    public const string Namespace = "urn:mobileid-gateway:v1";
    public const string Wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
    public const string Title = "Darlehen über € 348.500,00";
    public const string Refused = "zero\u200bwidth";
    static readonly string[] Final = { "COMPLETED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "BLOCKED" };

    public static string Env(string name) {
        return Environment.GetEnvironmentVariable(name);
    }

    public static string Address { get { return Env("GATEWAY_WSDL").Split('?')[0]; } }

    public static bool Twelve { get { return Env("SOAP_VERSION") == "1.2"; } }

    public static string Text { get { return File.ReadAllText(Env("CONSENT"), Encoding.UTF8); } }

    public static bool Ended(string state) {
        return Final.Contains(state);
    }

    /* DateTime is local or UTC, as its Kind says; ToUniversalTime minds it. */
    static string Instant(DateTime time) {
        return time.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
    }

    static string Json(Gateway.GatewayFault fault) {
        return "{" + string.Join(", ", new[] {
            "\"code\": \"" + fault.code + "\"",
            "\"group\": \"" + fault.group + "\"",
            "\"message\": \"" + fault.message + "\"",
            "\"correlationId\": \"" + fault.correlationId + "\"",
            "\"retryable\": " + (fault.retryable ? "true" : "false"),
            "\"field\": \"" + fault.field + "\"",
        }) + "}";
    }

    public static void Print(bool database, string id, string started, DateTime createdAt, string final,
                             DateTime decidedAt, string[] amr, byte[] document, string indication, Gateway.GatewayFault fault) {
        File.WriteAllBytes(Env("OUT"), document);
        string sha256;
        using (var hash = SHA256.Create())
            sha256 = string.Concat(hash.ComputeHash(document).Select(b => b.ToString("x2")));
        Console.WriteLine("{" + string.Join(", ", new[] {
            "\"database\": " + (database ? "true" : "false"),
            "\"transactionId\": \"" + id + "\"",
            "\"started\": \"" + started + "\"",
            "\"createdAt\": \"" + Instant(createdAt) + "\"",
            "\"final\": \"" + final + "\"",
            "\"decidedAt\": \"" + Instant(decidedAt) + "\"",
            "\"amr\": [" + string.Join(", ", amr.Select(word => "\"" + word + "\"")) + "]",
            "\"length\": " + document.Length,
            "\"sha256\": \"" + sha256 + "\"",
            "\"indication\": \"" + indication + "\"",
            "\"fault\": " + (fault == null ? "null" : Json(fault)),
        }) + "}");
    }
}
