<?php
/*
 * PHP SoapClient: one operation of each kind, from a registration to evidence and a redeemed code.
 *
 * Install:   apt-get install php-cli php-soap
 * Generate:  nothing: SoapClient reads the WSDL when the program starts
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... php client.php
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF (the person), CONSENT (a text file) and OUT (where the evidence goes)
 * are as in every program beside this one. Each answer is printed as one line of JSON; the person with the phone
 * reads there what a bank's screen would show.
 */
declare(strict_types=1);

const FINAL_STATES = ['COMPLETED', 'REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED', 'BLOCKED'];
const WSSE = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd';
const PAYMENT = [
    'total' => '1250.00',
    'currency' => 'EUR',
    'payee' => [['name' => 'Garage Müller', 'account' => 'DE89370400440532013000', 'amount' => '1250.00']],
];

// SoapClient has no WS-Security; the header is made by hand.
function usernameToken(string $user, string $secret): SoapHeader
{
    $part = fn (string $name, string $value) => new SoapVar($value, XSD_STRING, null, null, $name, WSSE);
    $token = new SoapVar(
        [$part('Username', $user), $part('Password', $secret)], SOAP_ENC_OBJECT, null, null, 'UsernameToken', WSSE
    );
    return new SoapHeader(WSSE, 'Security', new SoapVar([$token], SOAP_ENC_OBJECT), true);
}

function say(string $operation, string $what, object $said): void
{
    echo json_encode(['operation' => $operation, $what => $said], JSON_THROW_ON_ERROR), "\n";
}

$gateway = new SoapClient(getenv('GATEWAY_WSDL'), [
    'soap_version' => getenv('SOAP_VERSION') === '1.2' ? SOAP_1_2 : SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,   // amr and device are arrays even where there is one
]);
$gateway->__setSoapHeaders(usernameToken(getenv('GATEWAY_USER'), getenv('GATEWAY_SECRET')));

$call = function (string $operation, array $request = []) use ($gateway): object {
    $response = $gateway->$operation($request);
    $said = clone $response;
    if (isset($said->document)) {
        $said->document = base64_encode($said->document);   // SoapClient has decoded it
    }
    say($operation, 'response', $said);
    return $response;
};

function must(bool $holds, string $says): void
{
    if (!$holds) {
        throw new RuntimeException($says);
    }
}

function text(string $title, string $content): array
{
    return ['title' => $title, 'content' => $content, 'mediaType' => 'text/plain'];
}

// Starts a transaction; the request id makes it safe to repeat.
$start = fn (string $operation, array $about = []) => $call($operation, [
    'requestId' => bin2hex(random_bytes(16)),
    'externalRef' => getenv('EXTERNAL_REF'),
    'locale' => 'de',
] + $about)->transaction;

// The transaction once the person has approved it; each call waits for that.
$approved = function (object $started) use ($call): object {
    $last = $started;
    while (!in_array($last->state, FINAL_STATES, true)) {
        $request = ['transactionId' => $started->transactionId, 'waitSeconds' => 20];
        $last = $call('GetTransaction', $request)->transaction;
    }
    must($last->state === 'COMPLETED', "it ended as $last->state");
    return $last;
};

// The code serves once, and of a payment for the very payment that was signed.
$redeem = function (object $transaction, array $about = []) use ($call): void {
    $done = $call('RedeemAuthenticationCode', [
        'requestId' => bin2hex(random_bytes(16)),
        'transactionId' => $transaction->transactionId,
        'authenticationCode' => $transaction->authenticationCode,
    ] + $about)->transaction;
    must(isset($done->redeemedAt), 'the code was not redeemed');
};

must($call('Heartbeat')->database, 'the gateway has no database');

$registration = $call('StartRegistration', [
    'requestId' => bin2hex(random_bytes(16)),
    'externalRef' => getenv('EXTERNAL_REF'),
    'attribute' => [['name' => 'name', 'value' => 'Zoë Ångström-Şahin']],
])->registration;
while ($registration->state !== 'ACTIVATED') {
    must($registration->state === 'PENDING', "it ended as $registration->state");
    usleep(200_000);
    $registration = $call('GetRegistration', ['registrationId' => $registration->registrationId])->registration;
}
$devices = $call('ListDevices', ['externalRef' => getenv('EXTERNAL_REF')])->device;
must(count($devices) === 1 && $devices[0]->deviceId === $registration->deviceId, 'not the one device');

$consent = text('Darlehen über € 348.500,00', file_get_contents(getenv('CONSENT')));
$signed = $approved($start('StartConsentSignature', ['preContext' => $consent]));
$document = $call('GetEvidence', ['transactionId' => $signed->transactionId])->document;   // already decoded
file_put_contents(getenv('OUT'), $document);
$conclusion = $call('VerifyEvidence', ['document' => $document])->conclusion;   // encoded by SoapClient
must($conclusion->indication === 'TOTAL-PASSED', $conclusion->explanation);

$texts = [
    text('Kartenbedingungen', 'Ich habe die Bedingungen gelesen.'),
    text('Gebühren', 'Ich zahle € 25,00 im Jahr.'),
];
$approved($start('StartTextSignature', ['text' => $texts]));
$redeem($approved($start('StartAuthentication')));
$redeem($approved($start('StartAuthorisation', ['payment' => PAYMENT])), ['payment' => PAYMENT]);

try {
    $start('StartConsentSignature', ['preContext' => text('Darlehen über € 348.500,00', "zero\u{200B}width")]);
} catch (SoapFault $error) {
    // SoapClient gives a fault's detail untyped: its values are strings, and "false" is true to PHP.
    $fault = $error->detail->GatewayFault;
    $fault->retryable = $fault->retryable === 'true';
    say('StartConsentSignature', 'fault', $fault);
}
