<?php
/*
 * PHP SoapClient with ext-openssl and ext-dom: calls that are signed under the caller's certificate, and answers,
 * faults too, that are taken under the gateway's alone.
 *
 * Install:   apt-get install php-cli php-soap php-xml
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl KEY=core.key CERTIFICATE=core.pem GATEWAY_CERTIFICATE=message.pem
 *            php signed.php
 *
 * SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one. Keys are RSA or on
 * P-256, of either side.
 */
declare(strict_types=1);

const DS = 'http://www.w3.org/2000/09/xmldsig#';
const EXCLUSIVE = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const SHA256 = 'http://www.w3.org/2001/04/xmlenc#sha256';
const SIGNATURES = [
    OPENSSL_KEYTYPE_RSA => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    OPENSSL_KEYTYPE_EC => 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256',
];
const WSS = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-';
const WSSE = WSS . 'wssecurity-secext-1.0.xsd';
const WSU = WSS . 'wssecurity-utility-1.0.xsd';
const WSSE11 = 'http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd';
const ENVELOPE = [
    SOAP_1_1 => 'http://schemas.xmlsoap.org/soap/envelope/',
    SOAP_1_2 => 'http://www.w3.org/2003/05/soap-envelope',
];

// The answer is not the gateway's.
final class Refused extends RuntimeException
{
}

final class SignedClient extends SoapClient
{
    private OpenSSLAsymmetricKey $key;
    private string $certificate;
    private OpenSSLAsymmetricKey $gateway;

    public function __construct(string $wsdl, array $options, string $key, string $certificate, string $gateway)
    {
        $this->key = openssl_pkey_get_private($key) ?: throw new RuntimeException('no private key');
        openssl_x509_export($certificate, $pem) || throw new RuntimeException('no certificate');
        $this->certificate = preg_replace('/-----[^-]+-----|\s/', '', $pem);
        $this->gateway = openssl_pkey_get_public($gateway) ?: throw new RuntimeException('no certificate');
        parent::__construct($wsdl, $options);
    }

    // Every call goes through here, and every answer comes back through here, before SoapClient reads it.
    public function __doRequest(
        string $request, string $location, string $action, int $version, bool $oneWay = false
    ): ?string {
        [$message, $value] = $this->signed($request, ENVELOPE[$version]);
        $answer = parent::__doRequest($message, $location, $action, $version, $oneWay);
        if ($answer !== null) {     // null: SoapClient knows why, and says so
            $this->verify($answer, ENVELOPE[$version], $value);
        }
        return $answer;
    }

    private function signed(string $request, string $soap): array
    {
        $message = new DOMDocument();
        $message->loadXML($request);
        $body = $message->documentElement->lastChild;
        $body->setAttributeNS(WSU, 'wsu:Id', 'body');
        $header = $message->createDocumentFragment();
        $header->appendXML($this->header($soap));
        $message->documentElement->insertBefore($header, $body);
        $message->loadXML($message->saveXML());     // digests are over what is sent

        $in = self::xpath($message, $soap);
        foreach (['body' => '/s:Envelope/s:Body', 'time' => '//wsu:Timestamp'] as $id => $part) {
            $digest = hash('sha256', self::one($in, $part)->C14N(true), true);
            self::one($in, "//ds:Reference[@URI='#$id']/ds:DigestValue")->nodeValue = base64_encode($digest);
        }
        openssl_sign(self::one($in, '//ds:SignedInfo')->C14N(true), $value, $this->key, OPENSSL_ALGO_SHA256);
        $value = self::type($this->key) === OPENSSL_KEYTYPE_EC ? self::halves($value) : $value;
        self::one($in, '//ds:SignatureValue')->nodeValue = base64_encode($value);
        return [$message->saveXML(), $value];
    }

    // All of it but the digests and the signature.
    private function header(string $soap): string
    {
        $now = new DateTimeImmutable('now', new DateTimeZone('UTC'));
        [$created, $expires] = array_map(   // milliseconds: two equal messages of one second are one and the same
            fn (DateTimeImmutable $moment) => $moment->format('Y-m-d\TH:i:s.v\Z'), [$now, $now->modify('+5 minutes')]
        );
        $names = sprintf('xmlns:s="%s" xmlns:wsse="%s" xmlns:wsu="%s" xmlns:ds="%s"', $soap, WSSE, WSU, DS);
        $x509 = sprintf('ValueType="%sx509-token-profile-1.0#X509v3"', WSS);
        $base64 = sprintf('EncodingType="%ssoap-message-security-1.0#Base64Binary"', WSS);
        $exclusive = sprintf('Algorithm="%s"', EXCLUSIVE);
        $signature = sprintf('Algorithm="%s"', SIGNATURES[self::type($this->key)]);
        $sha256 = sprintf('Algorithm="%s"', SHA256);
        $references = '';
        foreach (['body', 'time'] as $id) {
            $references .= "<ds:Reference URI=\"#$id\"><ds:Transforms><ds:Transform $exclusive/></ds:Transforms>"
                . "<ds:DigestMethod $sha256/><ds:DigestValue/></ds:Reference>";
        }
        return "<s:Header $names><wsse:Security s:mustUnderstand=\"1\">"
            . "<wsu:Timestamp wsu:Id=\"time\"><wsu:Created>$created</wsu:Created><wsu:Expires>$expires</wsu:Expires>"
            . "</wsu:Timestamp><wsse:BinarySecurityToken wsu:Id=\"token\" $x509 $base64>{$this->certificate}"
            . "</wsse:BinarySecurityToken><ds:Signature><ds:SignedInfo><ds:CanonicalizationMethod $exclusive/>"
            . "<ds:SignatureMethod $signature/>$references</ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo>"
            . "<wsse:SecurityTokenReference><wsse:Reference URI=\"#token\" $x509/></wsse:SecurityTokenReference>"
            . '</ds:KeyInfo></ds:Signature></wsse:Security></s:Header>';
    }

    // Throws Refused unless the gateway signed this answer, to the request of this SignatureValue.
    private function verify(string $answer, string $soap, string $confirms): void
    {
        $message = new DOMDocument();
        if ($answer === '' || !@$message->loadXML($answer, LIBXML_NONET) || $message->doctype !== null) {
            throw new Refused('not a message');
        }
        $in = self::xpath($message, $soap);
        self::one($in, '/s:Envelope/*[1][self::s:Header]');
        $body = self::one($in, '/s:Envelope[count(*) = 2]/*[2][self::s:Body]');
        $security = self::one($in, '/s:Envelope/s:Header/wsse:Security');
        $time = self::one($in, 'wsu:Timestamp', $security);
        $confirmation = self::one($in, 'wsse11:SignatureConfirmation', $security);
        $signature = self::one($in, 'ds:Signature', $security);
        $info = self::one($in, 'ds:SignedInfo', $signature);

        // By the pinned key, whatever certificate the answer has.
        $value = self::bytes(self::one($in, 'ds:SignatureValue', $signature)->textContent);
        $type = self::type($this->gateway);
        self::algorithm($in, 'ds:CanonicalizationMethod', $info, EXCLUSIVE);
        self::algorithm($in, 'ds:SignatureMethod', $info, SIGNATURES[$type]);
        $der = $type === OPENSSL_KEYTYPE_EC ? self::der($value) : $value;
        if (openssl_verify($info->C14N(true), $der, $this->gateway, OPENSSL_ALGO_SHA256) !== 1) {
            throw new Refused('the signature is not the gateway\'s');
        }

        // What is digested are these nodes themselves, not whatever has their id.
        $references = [];
        foreach ($in->query('ds:Reference', $info) as $reference) {
            $references[$reference->getAttribute('URI')][] = $reference;
        }
        foreach ([$body, $time, $confirmation] as $part) {
            $named = $references['#' . $part->getAttributeNS(WSU, 'Id')] ?? [];
            if (count($named) !== 1) {
                throw new Refused("$part->localName is not signed");
            }
            self::algorithm($in, 'ds:Transforms/*', $named[0], EXCLUSIVE);
            self::algorithm($in, 'ds:DigestMethod', $named[0], SHA256);
            $digest = self::bytes(self::one($in, 'ds:DigestValue', $named[0])->textContent);
            if (!hash_equals(hash('sha256', $part->C14N(true), true), $digest)) {
                throw new Refused("$part->localName is not what was signed");
            }
        }
        if (new DateTimeImmutable(self::one($in, 'wsu:Expires', $time)->textContent) <= new DateTimeImmutable()) {
            throw new Refused('too old');
        }
        if (!hash_equals($confirms, self::bytes($confirmation->getAttribute('Value')))) {
            throw new Refused('the answer to another request');
        }
    }

    private static function xpath(DOMDocument $message, string $soap): DOMXPath
    {
        $in = new DOMXPath($message);
        foreach (['s' => $soap, 'ds' => DS, 'wsse' => WSSE, 'wsse11' => WSSE11, 'wsu' => WSU] as $prefix => $name) {
            $in->registerNamespace($prefix, $name);
        }
        return $in;
    }

    // The one element there.
    private static function one(DOMXPath $in, string $path, ?DOMNode $from = null): DOMElement
    {
        $found = $in->query($path, $from);
        return $found->length === 1 ? $found->item(0) : throw new Refused("$path stands $found->length times");
    }

    // One that has no parameters.
    private static function algorithm(DOMXPath $in, string $path, DOMElement $from, string $must): void
    {
        $found = self::one($in, $path, $from);
        if ($found->getAttribute('Algorithm') !== $must || $found->firstElementChild !== null) {
            throw new Refused("another $found->localName");
        }
    }

    private static function bytes(string $base64): string
    {
        return base64_decode($base64, true) ?: throw new Refused('not base64');
    }

    private static function type(OpenSSLAsymmetricKey $key): int
    {
        return openssl_pkey_get_details($key)['type'];
    }

    // OpenSSL writes ECDSA's two numbers as DER, XML Signature writes them side by side, 32 bytes each on P-256.
    private static function halves(string $der): string
    {
        $size = ord($der[3]);
        $numbers = [substr($der, 4, $size), substr($der, 6 + $size)];
        return implode(array_map(fn ($number) => str_pad(ltrim($number, "\0"), 32, "\0", STR_PAD_LEFT), $numbers));
    }

    private static function der(string $halves): string
    {
        if (strlen($halves) !== 64) {
            throw new Refused('not a signature on P-256');
        }
        $numbers = '';
        foreach (str_split($halves, 32) as $number) {
            $number = ltrim($number, "\0");
            $number = $number === '' || ord($number[0]) > 127 ? "\0$number" : $number;
            $numbers .= "\x02" . chr(strlen($number)) . $number;
        }
        return "\x30" . chr(strlen($numbers)) . $numbers;
    }
}

$gateway = new SignedClient(
    getenv('GATEWAY_WSDL'),
    [
        'soap_version' => getenv('SOAP_VERSION') === '1.2' ? SOAP_1_2 : SOAP_1_1,
        'cache_wsdl' => WSDL_CACHE_NONE,
        'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
    ],
    key: file_get_contents(getenv('KEY')),
    certificate: file_get_contents(getenv('CERTIFICATE')),
    gateway: file_get_contents(getenv('GATEWAY_CERTIFICATE')),
);

$call = function (string $operation, array $request) use ($gateway): void {
    try {
        $said = ['response' => $gateway->$operation($request)];
    } catch (Refused $error) {
        $said = ['refused' => $error->getMessage()];
    } catch (SoapFault $error) {    // verified as a response is
        $said = ['fault' => $error->detail->GatewayFault ?? throw $error];
    }
    echo json_encode(['operation' => $operation] + $said, JSON_THROW_ON_ERROR), "\n";
};

$call('StartRegistration', [
    'requestId' => bin2hex(random_bytes(16)),
    'externalRef' => getenv('EXTERNAL_REF'),
    'attribute' => [['name' => 'name', 'value' => 'Zoë & Ångström <Şahin>']],
]);
$call('GetTransaction', ['transactionId' => '00000000-0000-7000-8000-000000000000']);
