<?php
/*
 * PHP SoapClient: one consent signature, from start to evidence.
 *
 * Install:   apt-get install php-cli php-soap
 * Generate:  nothing: SoapClient reads the WSDL when the program starts
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... php client.php
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
declare(strict_types=1);

const FINAL_STATES = ['COMPLETED', 'REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED', 'BLOCKED'];
const WSSE = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd';

// SoapClient has no WS-Security; the header is made by hand.
function usernameToken(string $user, string $secret): SoapHeader
{
    $part = fn (string $name, string $value) => new SoapVar($value, XSD_STRING, null, null, $name, WSSE);
    $token = new SoapVar(
        [$part('Username', $user), $part('Password', $secret)], SOAP_ENC_OBJECT, null, null, 'UsernameToken', WSSE
    );
    return new SoapHeader(WSSE, 'Security', new SoapVar([$token], SOAP_ENC_OBJECT), true);
}

// SoapClient gives xs:dateTime as the text that was sent.
function instant(string $value): string
{
    return (new DateTimeImmutable($value))->setTimezone(new DateTimeZone('UTC'))->format('Y-m-d\TH:i:s\Z');
}

$twelve = getenv('SOAP_VERSION') === '1.2';
$gateway = new SoapClient(getenv('GATEWAY_WSDL'), [
    'soap_version' => $twelve ? SOAP_1_2 : SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,   // amr and attribute are arrays even where there is one
]);
$gateway->__setSoapHeaders(usernameToken(getenv('GATEWAY_USER'), getenv('GATEWAY_SECRET')));

$start = fn (string $text) => $gateway->StartConsentSignature([
    'requestId' => bin2hex(random_bytes(16)),
    'externalRef' => getenv('EXTERNAL_REF'),
    'locale' => 'de',
    'preContext' => ['title' => 'Darlehen über € 348.500,00', 'content' => $text, 'mediaType' => 'text/plain'],
])->transaction;

$database = $gateway->Heartbeat()->database;
$started = $start(file_get_contents(getenv('CONSENT')));
$final = $started;
while (!in_array($final->state, FINAL_STATES, true)) {
    $final = $gateway->GetTransaction(['transactionId' => $started->transactionId, 'waitSeconds' => 20])->transaction;
}
$document = $gateway->GetEvidence(['transactionId' => $started->transactionId])->document;   // already decoded
file_put_contents(getenv('OUT'), $document);
$conclusion = $gateway->VerifyEvidence(['document' => $document])->conclusion;   // encoded by SoapClient

$fault = null;
try {
    $start("zero\u{200B}width");
} catch (SoapFault $error) {
    // SoapClient gives a fault's detail untyped: its values are strings, and "false" is true to PHP.
    $fault = $error->detail->GatewayFault;
    $fault->retryable = $fault->retryable === 'true';
}

echo json_encode([
    'database' => $database,
    'transactionId' => $started->transactionId,
    'started' => $started->state,
    'createdAt' => instant($started->createdAt),
    'final' => $final->state,
    'decidedAt' => instant($final->decidedAt),
    'amr' => $final->amr,
    'length' => strlen($document),
    'sha256' => hash('sha256', $document),
    'indication' => $conclusion->indication,
    'fault' => $fault,
], JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR), "\n";
