/*
 * C++, gSOAP: one consent signature, from start to evidence.
 *
 * Install:   apt-get install gsoap libgsoap-dev libssl-dev g++ make
 * Generate:  make WSDL=https://.../soap/v1?wsdl      (wsdl2h, soapcpp2, compile: see Makefile)
 * Call:      GATEWAY_WSDL=... GATEWAY_USER=... GATEWAY_SECRET=... target/client
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "MobileIdGatewaySoap11.nsmap"
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

static std::string sha256(const xsd__base64Binary &document) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(document.__ptr, document.__size, digest, &size, EVP_sha256(), nullptr);
    return hex(digest, size);
}

/* gSOAP gives xs:dateTime as time_t: seconds of UTC. */
static std::string instant(time_t value) {
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&value));
    return text;
}

static std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
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
        _gw__HeartbeatResponse heartbeat;
        _gw__Heartbeat nothing;
        done(prepare().Heartbeat(&nothing, heartbeat));

        std::ifstream file(env("CONSENT"), std::ios::binary);
        const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        _gw__StartConsentSignatureResponse start_response;
        done(start(text, start_response));
        const gw__Transaction &started = *start_response.transaction;

        _gw__GetTransactionResponse get_response;
        const gw__Transaction *last = &started;
        while (FINAL.count(last->state) == 0) {
            _gw__GetTransaction get;
            gw__WaitSeconds wait = 20;
            get.transactionId = started.transactionId;
            get.waitSeconds = &wait;
            done(prepare().GetTransaction(&get, get_response));
            last = get_response.transaction;
        }

        _gw__GetEvidence get;
        _gw__GetEvidenceResponse evidence;
        get.transactionId = started.transactionId;
        done(prepare().GetEvidence(&get, evidence));
        const xsd__base64Binary &document = evidence.document;
        std::ofstream(env("OUT"), std::ios::binary).write(reinterpret_cast<char *>(document.__ptr), document.__size);

        _gw__VerifyEvidence verify;
        _gw__VerifyEvidenceResponse verified;
        verify.document = document;
        done(prepare().VerifyEvidence(&verify, verified));

        std::cout << "{\"database\": " << (heartbeat.database ? "true" : "false")
                  << ", \"transactionId\": " << quoted(started.transactionId)
                  << ", \"started\": " << quoted(started.state)
                  << ", \"createdAt\": " << quoted(instant(started.createdAt))
                  << ", \"final\": " << quoted(last->state)
                  << ", \"decidedAt\": " << quoted(instant(*last->decidedAt)) << ", \"amr\": [";
        for (size_t i = 0; i < last->amr.size(); i++) std::cout << (i ? ", " : "") << quoted(last->amr[i]);
        std::cout << "], \"length\": " << document.__size << ", \"sha256\": " << quoted(sha256(document))
                  << ", \"indication\": " << quoted(verified.conclusion->indication);

        _gw__StartConsentSignatureResponse refused;
        if (start("zero\u200bwidth", refused) == SOAP_OK) throw std::runtime_error("it was not refused");
        const gw__GatewayFault &fault = this->fault();
        std::cout << ", \"fault\": {\"code\": " << quoted(fault.code) << ", \"group\": " << quoted(fault.group)
                  << ", \"message\": " << quoted(fault.message)
                  << ", \"correlationId\": " << quoted(fault.correlationId)
                  << ", \"retryable\": " << (fault.retryable ? "true" : "false")
                  << ", \"field\": " << (fault.field ? quoted(*fault.field) : "null") << "}}" << std::endl;
    }

  private:
    /* The header is made anew for every call: an answer takes its place. */
    Proxy &prepare() {
        soap_wsse_add_UsernameTokenText(soap_, nullptr, env("GATEWAY_USER").c_str(), env("GATEWAY_SECRET").c_str());
        return gateway_;
    }

    int start(const std::string &text, _gw__StartConsentSignatureResponse &response) {
        gw__ShownContent shown;
        shown.title = "Darlehen über € 348.500,00";
        shown.content = text;
        shown.mediaType = "text/plain";
        _gw__StartConsentSignature request;
        request.requestId = request_id();
        request.externalRef = env("EXTERNAL_REF");
        request.locale = "de";
        request.preContext = &shown;
        return prepare().StartConsentSignature(&request, response);
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
