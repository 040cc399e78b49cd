/* What both .NET programs share: the walk's parameters, and the lines of JSON that they print. */
using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Text;

static class Walk {
    public const string Namespace = "urn:mobileid-gateway:v1";
    public const string Wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
    public const string Title = "Darlehen über € 348.500,00";
    public const string Wrong = "zero\u200bwidth";
    static readonly string[] Final = { "COMPLETED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "BLOCKED" };

    public static string Env(string name) {
        return Environment.GetEnvironmentVariable(name);
    }

    public static string Person { get { return Env("EXTERNAL_REF"); } }

    public static string Address { get { return Env("GATEWAY_WSDL").Split('?')[0]; } }

    public static bool Twelve { get { return Env("SOAP_VERSION") == "1.2"; } }

    public static string Text { get { return File.ReadAllText(Env("CONSENT"), Encoding.UTF8); } }

    /* It makes a repetition of a request safe. */
    public static string RequestId { get { return Guid.NewGuid().ToString(); } }

    public static bool Ended(string state) {
        return Final.Contains(state);
    }

    public static void Must(bool holds, string says) {
        if (!holds)
            throw new InvalidOperationException(says);
    }

    /* Prints an answer, as an object or as names and values. */
    public static T Say<T>(string operation, T response) {
        Print(operation, "response", response);
        return response;
    }

    public static void Print(string operation, string what, object said) {
        Console.WriteLine("{\"operation\": " + Quoted(operation) + ", \"" + what + "\": " + Json(said) + "}");
    }

    static string Json(object value) {
        if (value is string)
            return Quoted((string)value);
        if (value is bool)
            return (bool)value ? "true" : "false";
        if (value is DateTime)
            return Quoted(Instant((DateTime)value));
        if (value is byte[])
            return Quoted(Convert.ToBase64String((byte[])value));
        if (value is IEnumerable)
            return "[" + string.Join(", ", ((IEnumerable)value).Cast<object>().Select(Json)) + "]";
        return value is int ? value.ToString() : "{" + string.Join(", ", Members(value)) + "}";
    }

    /* What came: an optional value has a member beside it that says whether it did. */
    static IEnumerable<string> Members(object value) {
        var type = value.GetType();
        foreach (var property in type.GetProperties().Where(property => !property.Name.EndsWith("Specified"))) {
            PropertyInfo specified = type.GetProperty(property.Name + "Specified");
            var item = property.GetValue(value, null);
            if (item != null && (specified == null || (bool)specified.GetValue(value, null)))
                yield return Quoted(property.Name) + ": " + Json(item);
        }
    }

    static string Quoted(string text) {
        var quoted = text.Select(c =>
            c == '"' || c == '\\' ? "\\" + c : c < ' ' || c > '~' ? "\\u" + ((int)c).ToString("x4") : c.ToString());
        return "\"" + string.Concat(quoted) + "\"";
    }

    /* DateTime is local or UTC, as its Kind says; ToUniversalTime minds it. */
    static string Instant(DateTime time) {
        return time.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
    }
}
