/*
 * C++, gSOAP: one operation of each kind, from a registration to evidence and a redeemed code.
 *
 * Install:   apt-get install gsoap libgsoap-dev libssl-dev g++ make
 * Generate:  make WSDL=https://.../soap/v1?wsdl      (wsdl2h, soapcpp2, compile: see Makefile)
 * Call:      GATEWAY_WSDL=... GATEWAY_USER=... GATEWAY_SECRET=... target/client
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF (the person), CONSENT (a text file) and OUT (where the evidence goes)
 * are as in every program beside this one. Each answer is printed as one line of JSON (json.h); the person with
 * the phone reads there what a bank's screen would show.
 */
#include <openssl/rand.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "MobileIdGatewaySoap11.nsmap"
#include "json.h"
#include "soapMobileIdGatewaySoap11Proxy.h"
#include "soapMobileIdGatewaySoap12Proxy.h"
#include "wsseapi.h"

static const std::set<std::string> FINAL = {"COMPLETED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "BLOCKED"};

static std::string env(const char *name) {
    const char *value = std::getenv(name);
    if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
    return value;
}

static std::string hex(const unsigned char *data, unsigned size) {
    std::ostringstream out;
    for (unsigned i = 0; i < size; i++) out << "0123456789abcdef"[data[i] >> 4] << "0123456789abcdef"[data[i] & 15];
    return out.str();
}

static std::string request_id() {
    unsigned char data[16];
    if (RAND_bytes(data, sizeof data) != 1) throw std::runtime_error("no random bytes");
    return hex(data, sizeof data);
}

static void must(bool holds, const std::string &says) {
    if (!holds) throw std::runtime_error(says);
}

static void say(const char *operation, const char *what, const std::string &json) {
    std::cout << Json().text("operation", operation).json(what, json).done() << std::endl;
}

/*
 * The table of namespaces decides the version that is sent: its first two rows are envelope and encoding, first
 * of SOAP 1.2, then of 1.1. soap_set_version() does not outlast a call. (A program for SOAP 1.1 alone: soapcpp2 -1.)
 */
static const struct Namespace *soap11() {
    static struct Namespace table[sizeof namespaces / sizeof *namespaces];
    std::copy(std::begin(namespaces), std::end(namespaces), table);
    for (int row = 0; row < 2; row++) std::swap(table[row].ns, table[row].in);
    return table;
}

template <class Proxy>
class Bank {
  public:
    Bank(struct soap *context, const struct Namespace *table) : gateway_(context), soap_(context) {
        soap_set_namespaces(soap_, table);
        std::string url = env("GATEWAY_WSDL");
        endpoint_ = url.substr(0, url.find('?'));
        gateway_.soap_endpoint = endpoint_.c_str();
    }

    void walk() {
        _gw__Heartbeat nothing;
        _gw__HeartbeatResponse heartbeat;
        done(prepare().Heartbeat(&nothing, heartbeat));
        Json beat;
        beat.time("time", heartbeat.time).text("version", heartbeat.version).flag("database", heartbeat.database);
        say("Heartbeat", "response", beat.done());
        must(heartbeat.database, "the gateway has no database");

        own_device(activated());
        std::ifstream file(env("CONSENT"), std::ios::binary);
        consent_signature(std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()));
        text_signature();
        authentication();
        authorisation();
        refused();
    }

  private:
    /* A registration, once the person's app has bound their device; the device's id. */
    std::string activated() {
        gw__IdentityAttribute name;
        name.name = "name";
        name.value = "Zoë Ångström-Şahin";
        _gw__StartRegistration request;
        request.requestId = request_id();
        request.externalRef = env("EXTERNAL_REF");
        request.attribute.push_back(&name);
        _gw__StartRegistrationResponse response;
        done(prepare().StartRegistration(&request, response));
        const gw__Registration *last = response.registration;
        say("StartRegistration", "response", json(*last));

        _gw__GetRegistration get;
        get.registrationId = last->registrationId;
        _gw__GetRegistrationResponse got;
        while (last->state != "ACTIVATED") {
            must(last->state == "PENDING", "it ended as " + last->state);
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
            done(prepare().GetRegistration(&get, got));
            last = got.registration;
            say("GetRegistration", "response", json(*last));
        }
        return *last->deviceId;
    }

    void own_device(const std::string &device) {
        _gw__ListDevices request;
        request.externalRef = env("EXTERNAL_REF");
        _gw__ListDevicesResponse response;
        done(prepare().ListDevices(&request, response));
        auto print = [](const gw__Device *one) { return json(*one); };
        say("ListDevices", "response", Json().list("device", response.device, print).done());
        must(response.device.size() == 1 && response.device[0]->deviceId == device, "not the one device");
    }

    void consent_signature(const std::string &content) {
        _gw__StartConsentSignatureResponse response;
        done(start_consent_signature(content, response));
        const gw__Transaction &signed_ = approved("StartConsentSignature", *response.transaction);

        _gw__GetEvidence get;
        get.transactionId = signed_.transactionId;
        _gw__GetEvidenceResponse evidence;
        done(prepare().GetEvidence(&get, evidence));
        const xsd__base64Binary &document = evidence.document; /* decoded; gSOAP encodes what is sent, too */
        const char *encoded = soap_s2base64(soap_, document.__ptr, nullptr, document.__size);
        Json out;
        out.text("evidenceId", evidence.evidenceId).text("transactionId", evidence.transactionId);
        out.text("level", evidence.level).time("sealedAt", evidence.sealedAt).text("document", encoded);
        say("GetEvidence", "response", out.done());
        std::ofstream(env("OUT"), std::ios::binary).write(reinterpret_cast<char *>(document.__ptr), document.__size);

        _gw__VerifyEvidence verify;
        verify.document = document;
        _gw__VerifyEvidenceResponse verified;
        done(prepare().VerifyEvidence(&verify, verified));
        say("VerifyEvidence", "response", Json().json("conclusion", json(*verified.conclusion)).done());
        must(verified.conclusion->indication == "TOTAL-PASSED", verified.conclusion->explanation);
    }

    int start_consent_signature(const std::string &content, _gw__StartConsentSignatureResponse &response) {
        gw__ShownContent shown = text("Darlehen über € 348.500,00", content);
        _gw__StartConsentSignature request = start<_gw__StartConsentSignature>();
        request.preContext = &shown;
        return prepare().StartConsentSignature(&request, response);
    }

    void text_signature() {
        gw__ShownContent terms = text("Kartenbedingungen", "Ich habe die Bedingungen gelesen.");
        gw__ShownContent fees = text("Gebühren", "Ich zahle € 25,00 im Jahr.");
        _gw__StartTextSignature request = start<_gw__StartTextSignature>();
        request.text = {&terms, &fees};
        _gw__StartTextSignatureResponse response;
        done(prepare().StartTextSignature(&request, response));
        approved("StartTextSignature", *response.transaction);
    }

    void authentication() {
        _gw__StartAuthentication request = start<_gw__StartAuthentication>();
        _gw__StartAuthenticationResponse response;
        done(prepare().StartAuthentication(&request, response));
        redeem(approved("StartAuthentication", *response.transaction), nullptr);
    }

    void authorisation() {
        gw__Payee payee;
        payee.name = "Garage Müller";
        payee.account = "DE89370400440532013000";
        payee.amount = "1250.00";
        gw__Payment payment;
        payment.total = "1250.00";
        payment.currency = "EUR";
        payment.payee.push_back(&payee);
        _gw__StartAuthorisation request = start<_gw__StartAuthorisation>();
        request.payment = &payment;
        _gw__StartAuthorisationResponse response;
        done(prepare().StartAuthorisation(&request, response));
        redeem(approved("StartAuthorisation", *response.transaction), &payment);
    }

    /* The code serves once, and of a payment for the very payment that was signed. */
    void redeem(const gw__Transaction &transaction, gw__Payment *payment) {
        _gw__RedeemAuthenticationCode request;
        request.requestId = request_id();
        request.transactionId = transaction.transactionId;
        request.authenticationCode = *transaction.authenticationCode;
        request.payment = payment;
        _gw__RedeemAuthenticationCodeResponse response;
        done(prepare().RedeemAuthenticationCode(&request, response));
        say("RedeemAuthenticationCode", "response", json(*response.transaction));
        must(response.transaction->redeemedAt != nullptr, "the code was not redeemed");
    }

    void refused() {
        _gw__StartConsentSignatureResponse response;
        must(start_consent_signature("zero\u200bwidth", response) != SOAP_OK, "it was not refused");
        say("StartConsentSignature", "fault", json(fault()));
    }

    /* What all starts have in common; the request id makes it safe to repeat one. */
    template <class Request>
    Request start() {
        Request request;
        request.requestId = request_id();
        request.externalRef = env("EXTERNAL_REF");
        request.locale = "de";
        return request;
    }

    static gw__ShownContent text(const char *title, const std::string &content) {
        gw__ShownContent shown;
        shown.title = title;
        shown.content = content;
        shown.mediaType = "text/plain";
        return shown;
    }

    /* The transaction once the person has approved it; each call waits for that. */
    const gw__Transaction &approved(const char *operation, const gw__Transaction &started) {
        say(operation, "response", json(started));
        const gw__Transaction *last = &started;
        while (FINAL.count(last->state) == 0) {
            gw__WaitSeconds wait = 20;
            _gw__GetTransaction get;
            get.transactionId = started.transactionId;
            get.waitSeconds = &wait;
            _gw__GetTransactionResponse response; /* what it points to lives as long as the context */
            done(prepare().GetTransaction(&get, response));
            last = response.transaction;
            say("GetTransaction", "response", json(*last));
        }
        must(last->state == "COMPLETED", "it ended as " + last->state);
        return *last;
    }

    /* The header is made anew for every call: an answer takes its place. */
    Proxy &prepare() {
        soap_wsse_add_UsernameTokenText(soap_, nullptr, env("GATEWAY_USER").c_str(), env("GATEWAY_SECRET").c_str());
        return gateway_;
    }

    /* SOAP 1.1 and 1.2 keep the detail in different members. */
    const gw__GatewayFault &fault() {
        const SOAP_ENV__Fault *found = soap_->fault;
        const SOAP_ENV__Detail *detail = nullptr;
        if (found != nullptr) detail = found->detail != nullptr ? found->detail : found->SOAP_ENV__Detail;
        if (detail == nullptr || detail->gw__GatewayFault_ == nullptr) done(soap_->error);
        return *detail->gw__GatewayFault_;
    }

    void done(int result) {
        if (result == SOAP_OK) return;
        std::ostringstream said;
        soap_stream_fault(soap_, said);
        throw std::runtime_error(said.str());
    }

    Proxy gateway_;
    struct soap *soap_;
    std::string endpoint_;
};

int main() {
    /* SOAP_C_UTFSTRING: std::string is UTF-8; without it everything outside of Latin-1 is lost. */
    struct soap *context = soap_new1(SOAP_C_UTFSTRING);
    soap_register_plugin(context, soap_wsse);
    int status = 0;
    try {
        if (env("SOAP_VERSION") == "1.2")
            Bank<MobileIdGatewaySoap12Proxy>(context, namespaces).walk();
        else
            Bank<MobileIdGatewaySoap11Proxy>(context, soap11()).walk();
    } catch (const std::exception &error) {
        std::cerr << error.what() << std::endl;
        status = 1;
    }
    soap_destroy(context);
    soap_end(context);
    soap_free(context);
    return status;
}
