/*
 * C++, gSOAP with its wsse plug-in: calls that are signed under the caller's certificate, and answers, faults too,
 * that are taken under the gateway's alone.
 *
 * Install:   apt-get install gsoap libgsoap-dev libssl-dev g++ make pkg-config
 * Generate:  make signed GATEWAY_WSDL=https://.../soap/v1?wsdl      (wsdl2h, soapcpp2, compile: see Makefile)
 * Call:      GATEWAY_WSDL=... KEY=core.key CERTIFICATE=core.pem GATEWAY_CERTIFICATE=message.pem target/signed
 *
 * SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one. All keys are RSA.
 */
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include "MobileIdGatewaySoap11.nsmap"
#include "json.h"
#include "soapMobileIdGatewaySoap11Proxy.h"
#include "soapMobileIdGatewaySoap12Proxy.h"
#include "wsseapi.h"

/* To gSOAP's table of namespaces WS-Security 1.1 is another spelling of 1.0. */
static const char WSSE[] = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";

/* The answer is not the gateway's. */
struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

static std::string env(const char *name) {
    const char *value = std::getenv(name);
    if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
    return value;
}

template <class Found>
static Found *from_pem(const char *name, Found *(*read)(std::FILE *, Found **, pem_password_cb *, void *)) {
    std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::fopen(env(name).c_str(), "r"), std::fclose);
    Found *found = file ? read(file.get(), nullptr, nullptr, nullptr) : nullptr;
    if (found == nullptr) throw std::runtime_error(env(name) + " cannot be read");
    return found;
}

static std::string request_id() {
    unsigned char data[16];
    if (RAND_bytes(data, sizeof data) != 1) throw std::runtime_error("no random bytes");
    std::ostringstream out;
    for (unsigned char c : data) out << "0123456789abcdef"[c >> 4] << "0123456789abcdef"[c & 15];
    return out.str();
}

/* Now, with milliseconds: gSOAP writes seconds, in which two equal messages would be one and the same. */
static std::string now() {
    using namespace std::chrono;
    long long moment = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
    std::string seconds = instant(static_cast<time_t>(moment / 1000));
    char fraction[8];
    std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(moment % 1000));
    return seconds.substr(0, seconds.size() - 1) + fraction;
}

/* As in client.cpp: the first two rows of the table of namespaces decide the version that is sent. */
static const struct Namespace *soap11() {
    static struct Namespace table[sizeof namespaces / sizeof *namespaces];
    std::copy(std::begin(namespaces), std::end(namespaces), table);
    for (int row = 0; row < 2; row++) std::swap(table[row].ns, table[row].in);
    return table;
}

template <class Proxy>
class Bank {
  public:
    Bank(struct soap *context, const struct Namespace *table)
        : gateway_(context),
          soap_(context),
          key_(from_pem("KEY", PEM_read_PrivateKey)),
          certificate_(from_pem("CERTIFICATE", PEM_read_X509)),
          pinned_(X509_get_pubkey(from_pem("GATEWAY_CERTIFICATE", PEM_read_X509))) {
        soap_set_namespaces(soap_, table);
        envelope_ = table[0].ns;
        std::string url = env("GATEWAY_WSDL");
        endpoint_ = url.substr(0, url.find('?'));
        gateway_.soap_endpoint = endpoint_.c_str();
    }

    void start_registration() {
        gw__IdentityAttribute name;
        name.name = "name";
        name.value = "Zoë & Ångström <Şahin>";
        _gw__StartRegistration request;
        request.requestId = request_id();
        request.externalRef = env("EXTERNAL_REF");
        request.attribute.push_back(&name);
        _gw__StartRegistrationResponse response;
        int result = signed_().StartRegistration(&request, response);
        say("StartRegistration", result, [&] { return json(*response.registration); });
    }

    void get_transaction() {
        _gw__GetTransaction request;
        request.transactionId = "00000000-0000-7000-8000-000000000000";
        _gw__GetTransactionResponse response;
        int result = signed_().GetTransaction(&request, response);
        say("GetTransaction", result, [&] { return json(*response.transaction); });
    }

  private:
    /* The proxy, with a header for the next request alone: signed when it is sent. */
    Proxy &signed_() {
        soap_wsse_delete_Security(soap_); /* the last answer's */
        soap_wsse_add_Timestamp(soap_, "Time", 300);
        soap_wsse_Timestamp(soap_)->Created = soap_strdup(soap_, now().c_str());
        soap_wsse_add_BinarySecurityTokenX509(soap_, "X509Token", certificate_);
        soap_wsse_add_KeyInfo_SecurityTokenReferenceX509(soap_, "#X509Token");
        soap_wsse_sign_body(soap_, SOAP_SMD_SIGN_RSA_SHA256, key_, 0);
        sent_ = soap_wsse_Signature(soap_);
        soap_wsse_verify_init(soap_); /* keep the answer's DOM, and do not ask the answer whose key to take */
        return gateway_;
    }

    template <class Print>
    void say(const char *operation, int result, Print print) {
        const SOAP_ENV__Fault *fault = result == SOAP_OK ? nullptr : soap_->fault;
        Json out;
        out.text("operation", operation);
        try {
            if (result != SOAP_OK && fault == nullptr) stop();
            verify();
            out.json(fault ? "fault" : "response", fault ? json(typed(*fault)) : print());
        } catch (const Refused &refused) {
            out.text("refused", refused.what());
        }
        std::cout << out.done() << std::endl;
        soap_destroy(soap_);
        soap_end(soap_);
    }

    /* Throws Refused unless the gateway signed this answer, a response or a fault, to this request. */
    void verify() {
        /* gSOAP looks for SignedInfo by name, wherever it stands first, and for what it refers to by id. So each must
           stand once, and in its place. */
        soap_dom_element *envelope = soap_->dom;
        refuse_if(envelope == nullptr || !envelope->match(envelope_, "Envelope"), "not the envelope that was asked for");
        soap_dom_element *header = only(envelope, envelope_, "Header");
        soap_dom_element *body = only(envelope, envelope_, "Body");
        refuse_if(envelope->elts != header || header->next != body || body->next != nullptr, "more than an envelope");
        soap_dom_element *security = only(header, WSSE, "Security");
        soap_dom_element *signature = only(security, ds_URI, "Signature");
        soap_dom_element *info = only(signature, ds_URI, "SignedInfo");
        soap_dom_element *time = only(security, wsu_URI, "Timestamp");
        soap_dom_element *confirmation = only(security, WSSE, "SignatureConfirmation");
        refuse_if(anywhere("Signature") != signature || anywhere("SignedInfo") != info, "a second signature");
        for (soap_dom_element *part : {body, time, confirmation}) refuse_if(!referred(part), "a part is not signed");

        /* By the pinned key, whatever certificate the answer has. */
        if (soap_wsse_verify_SignatureValue(soap_, SOAP_SMD_VRFY_RSA_SHA256, pinned_, 0) != SOAP_OK) refuse();
        if (soap_wsse_verify_SignedInfo(soap_) != SOAP_OK) refuse();

        refuse_if(soap_wsse_Timestamp(soap_)->Expires == nullptr, "it never expires");
        if (soap_wsse_verify_Timestamp(soap_) != SOAP_OK) refuse();
        refuse_if(attribute(confirmation, nullptr, "Value") != sent_->SignatureValue, "the answer to another request");
    }

    /* The one child of this name. */
    static soap_dom_element *only(soap_dom_element *parent, const char *space, const char *name) {
        soap_dom_element *found = nullptr;
        for (soap_dom_element *child = parent->elts; child != nullptr; child = child->next) {
            if (!child->match(space, name)) continue;
            refuse_if(found != nullptr, std::string(name) + " stands twice");
            found = child;
        }
        refuse_if(found == nullptr, std::string("no ") + name);
        return found;
    }

    soap_dom_element *anywhere(const char *name) { return soap_dom_find(soap_->dom, nullptr, ds_URI, name, 0); }

    bool referred(soap_dom_element *part) {
        std::string uri = "#" + attribute(part, wsu_URI, "Id");
        const ds__SignedInfoType &info = *soap_wsse_SignedInfo(soap_);
        return std::any_of(info.Reference, info.Reference + info.__sizeReference, [&](const ds__ReferenceType *reference) {
            return reference->URI != nullptr && reference->URI == uri;
        });
    }

    static std::string attribute(soap_dom_element *element, const char *space, const char *name) {
        for (soap_dom_attribute *found = element->atts; found != nullptr; found = found->next)
            if (found->match(space, name) && found->text != nullptr) return found->text;
        throw Refused(std::string("no ") + name);
    }

    static void refuse_if(bool holds, const std::string &says) {
        if (holds) throw Refused(says);
    }

    void refuse() { throw Refused(reason()); }

    void stop() { throw std::runtime_error(reason()); }

    std::string reason() {
        std::ostringstream said;
        soap_stream_fault(soap_, said);
        return said.str();
    }

    /* SOAP 1.1 and 1.2 keep the detail in different members. */
    const gw__GatewayFault &typed(const SOAP_ENV__Fault &fault) {
        const SOAP_ENV__Detail *detail = fault.detail != nullptr ? fault.detail : fault.SOAP_ENV__Detail;
        if (detail == nullptr || detail->gw__GatewayFault_ == nullptr) stop();
        return *detail->gw__GatewayFault_;
    }

    Proxy gateway_;
    struct soap *soap_;
    EVP_PKEY *key_;
    X509 *certificate_;
    EVP_PKEY *pinned_;
    const ds__SignatureType *sent_ = nullptr; /* of the last request; soap_end() frees it */
    const char *envelope_;
    std::string endpoint_;
};

template <class Proxy>
static void call(struct soap *context, const struct Namespace *table) {
    Bank<Proxy> bank(context, table);
    bank.start_registration();
    bank.get_transaction();
}

int main() {
    /* SOAP_XML_CANONICAL: Exclusive C14N, the only one that the gateway takes. */
    struct soap *context = soap_new2(SOAP_C_UTFSTRING, SOAP_C_UTFSTRING | SOAP_XML_CANONICAL);
    soap_register_plugin(context, soap_wsse);
    int status = 0;
    try {
        if (env("SOAP_VERSION") == "1.2")
            call<MobileIdGatewaySoap12Proxy>(context, namespaces);
        else
            call<MobileIdGatewaySoap11Proxy>(context, soap11());
    } catch (const std::exception &error) {
        std::cerr << error.what() << std::endl;
        status = 1;
    }
    soap_destroy(context);
    soap_end(context);
    soap_free(context);
    return status;
}
