/*
 * Node.js, npm soap: one consent signature, from start to evidence.
 *
 * Install:   npm install soap
 * Generate:  nothing: soap reads the WSDL when the program starts
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... node client.js
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const soap = require('soap');

const env = process.env;
const FINAL = ['COMPLETED', 'REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED', 'BLOCKED'];

async function main() {
  const twelve = env.SOAP_VERSION === '1.2';
  const client = await soap.createClientAsync(env.GATEWAY_WSDL, {
    forceSoap12Headers: twelve, // envelope and content type; the port alone does not change them
  });
  client.setSecurity(new soap.WSSecurity(env.GATEWAY_USER, env.GATEWAY_SECRET, {
    passwordType: 'PasswordText',
    hasTimeStamp: false,
  }));
  const gateway = client.MobileIdGateway[twelve ? 'Soap12' : 'Soap11'];
  const call = (operation, request) => new Promise((resolve, reject) => {
    gateway[operation](request, (error, response) => (error ? reject(error) : resolve(response)));
  });
  const start = async (text) => (await call('StartConsentSignature', {
    requestId: crypto.randomUUID(),
    externalRef: env.EXTERNAL_REF,
    locale: 'de',
    preContext: { title: 'Darlehen über € 348.500,00', content: text, mediaType: 'text/plain' },
  })).transaction;

  const heartbeat = await call('Heartbeat', {});
  const started = await start(fs.readFileSync(env.CONSENT, 'utf8'));
  let final = started;
  while (!FINAL.includes(final.state)) {
    final = (await call('GetTransaction', { transactionId: started.transactionId, waitSeconds: 20 })).transaction;
  }
  const evidence = await call('GetEvidence', { transactionId: started.transactionId });
  const document = Buffer.from(evidence.document, 'base64'); // soap leaves base64Binary encoded
  fs.writeFileSync(env.OUT, document);
  const verified = await call('VerifyEvidence', { document: document.toString('base64') });

  console.log(JSON.stringify({
    database: heartbeat.database,
    transactionId: started.transactionId,
    started: started.state,
    createdAt: instant(started.createdAt),
    final: final.state,
    decidedAt: instant(final.decidedAt),
    amr: [].concat(final.amr), // an array only where there are two or more
    length: document.length,
    sha256: crypto.createHash('sha256').update(document).digest('hex'),
    indication: verified.conclusion.indication,
    fault: await start('zero\u200bwidth').then(() => null, refused),
  }));
}

function instant(value) {
  return new Date(value).toISOString();
}

function refused(error) {
  const { Fault } = error.root.Envelope.Body;
  const fault = (Fault.detail || Fault.Detail).GatewayFault; // SOAP 1.1, SOAP 1.2
  return { ...fault, retryable: fault.retryable === 'true' }; // a fault's values are strings
}

main().catch((error) => {
  console.error(error.body || error);
  process.exitCode = 1;
});
