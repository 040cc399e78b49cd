/*
 * The types of the contract, as wsdl2h names them, as JSON: for the lines that client.cpp prints.
 *
 * A required element is a member, an optional one a pointer (null: absent), a repeated one a vector. xs:dateTime is
 * time_t: seconds of UTC.
 */
#ifndef GATEWAY_JSON_H
#define GATEWAY_JSON_H

#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "soapH.h"

static std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (unsigned char c : text) {
        char escaped[7];
        std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
        if (c == '"' || c == '\\') out += '\\';
        if (c < 0x20) out += escaped;
        else out += static_cast<char>(c);
    }
    return out + '"';
}

static std::string instant(time_t value) {
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&value));
    return text;
}

class Json {
  public:
    Json &json(const char *name, const std::string &value) {
        members_ += (members_.empty() ? "" : ", ") + quoted(name) + ": " + value;
        return *this;
    }
    Json &text(const char *name, const std::string &value) { return json(name, quoted(value)); }
    Json &text(const char *name, const std::string *value) { return value ? text(name, *value) : *this; }
    Json &time(const char *name, time_t value) { return text(name, instant(value)); }
    Json &time(const char *name, const time_t *value) { return value ? time(name, *value) : *this; }
    Json &flag(const char *name, bool value) { return json(name, value ? "true" : "false"); }
    Json &number(const char *name, int value) { return json(name, std::to_string(value)); }

    template <class Item, class Print>
    Json &list(const char *name, const std::vector<Item> &items, Print print) {
        std::string joined;
        for (const Item &item : items) joined += (joined.empty() ? "" : ", ") + print(item);
        return json(name, "[" + joined + "]");
    }

    std::string done() const { return "{" + members_ + "}"; }

  private:
    std::string members_;
};

static std::string json(const gw__Registration &value) {
    Json out;
    out.text("registrationId", value.registrationId).text("state", value.state);
    out.time("createdAt", value.createdAt).time("expiresAt", value.expiresAt);
    if (value.activation) {
        const gw__Activation &activation = *value.activation;
        Json inner;
        inner.text("activationId", activation.activationId).text("activationCode", activation.activationCode);
        out.json("activation", inner.text("qrPayload", activation.qrPayload).done());
    }
    return out.text("deviceId", value.deviceId).text("purpose", value.purpose).done();
}

static std::string json(const gw__Transaction &value) {
    Json out;
    out.text("transactionId", value.transactionId).text("kind", value.kind).text("state", value.state);
    out.time("createdAt", value.createdAt).time("expiresAt", value.expiresAt).time("decidedAt", value.decidedAt);
    out.text("decision", value.decision).text("deviceId", value.deviceId).text("acr", value.acr);
    out.list("amr", value.amr, quoted).text("channel", value.channel).text("matchNumber", value.matchNumber);
    return out.text("authenticationCode", value.authenticationCode).time("redeemedAt", value.redeemedAt).done();
}

static std::string json(const gw__Device &value) {
    Json out;
    out.text("deviceId", value.deviceId).text("name", value.name).text("platform", value.platform);
    out.text("state", value.state).list("lockedMethod", value.lockedMethod, quoted).time("boundAt", value.boundAt);
    out.text("attestation", value.attestation).number("failedTries", value.failedTries);
    return out.time("lastUsedAt", value.lastUsedAt).done();
}

static std::string json(const gw__Conclusion &value) {
    auto check = [](const gw__Check *check) {
        Json out;
        out.number("step", check->step).text("name", check->name).flag("passed", check->passed);
        return out.text("says", check->says).done();
    };
    Json out;
    out.text("indication", value.indication).text("decision", value.decision);
    out.text("subIndication", value.subIndication).text("explanation", value.explanation);
    return out.text("remedy", value.remedy).list("check", value.check, check).done();
}

static std::string json(const gw__GatewayFault &value) {
    Json out;
    out.text("code", value.code).text("group", value.group).text("message", value.message);
    out.text("correlationId", value.correlationId).flag("retryable", value.retryable);
    return out.text("field", value.field).done();
}

#endif
