<?php
/*
 * PHP SoapClient behind a TLS client certificate: nothing is signed, TLS tells who calls.
 *
 * Install:   apt-get install php-cli php-soap
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl KEY=core.key CERTIFICATE=core.pem CA=ca.pem php mtls.php
 *
 * SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one.
 */
declare(strict_types=1);

// The server is not under CA, has another name, or did not take the certificate; nginx says the last with 400.
const REFUSALS = '/certificate verify failed|did not match expected|SSL routines::.* alert |\bHTTP\S*( 400)? Bad Request/';

// Why TLS failed PHP tells in warnings alone; SoapClient says no more than that it could not connect.
$warnings = [];
set_error_handler(function (int $level, string $message) use (&$warnings): bool {
    $warnings[] = $message;
    return true;
});

$tls = stream_context_create([
    'ssl' => [
        'local_cert' => getenv('CERTIFICATE'),
        'local_pk' => getenv('KEY'),
        'cafile' => getenv('CA'),
        'verify_peer' => true,
        'verify_peer_name' => true,
        'crypto_method' => STREAM_CRYPTO_METHOD_TLSv1_2_CLIENT | STREAM_CRYPTO_METHOD_TLSv1_3_CLIENT,
    ],
]);

$call = function (string $operation, array $request) use ($tls, &$warnings): void {
    static $gateway;
    $warnings = [];
    try {
        $gateway ??= new SoapClient(getenv('GATEWAY_WSDL'), [
            'soap_version' => getenv('SOAP_VERSION') === '1.2' ? SOAP_1_2 : SOAP_1_1,
            'cache_wsdl' => WSDL_CACHE_NONE,
            'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
            'stream_context' => $tls,
        ]);
        $said = ['response' => $gateway->$operation($request)];
    } catch (SoapFault $error) {
        $refusals = preg_grep(REFUSALS, [...$warnings, "$error->faultcode: $error->faultstring"]);
        $said = match (true) {
            isset($error->detail->GatewayFault) => ['fault' => $error->detail->GatewayFault],
            $refusals !== [] => ['refused' => current($refusals)],
            default => throw $error,
        };
    }
    echo json_encode(['operation' => $operation] + $said, JSON_THROW_ON_ERROR), "\n";
};

$call('StartRegistration', [
    'requestId' => bin2hex(random_bytes(16)),
    'externalRef' => getenv('EXTERNAL_REF'),
    'attribute' => [['name' => 'name', 'value' => 'Zoë & Ångström <Şahin>']],
]);
$call('GetTransaction', ['transactionId' => '00000000-0000-7000-8000-000000000000']);
