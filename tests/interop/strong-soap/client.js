/*
 * Node.js, npm strong-soap: one consent signature, from start to evidence.
 *
 * Install:   npm install strong-soap
 * Generate:  nothing: strong-soap reads the WSDL when the program starts
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... node client.js
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
 * every program beside this one.
 */
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const { soap } = require('strong-soap');

const env = process.env;
const FINAL = ['COMPLETED', 'REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED', 'BLOCKED'];

async function main() {
  const twelve = env.SOAP_VERSION === '1.2';
  const client = await new Promise((resolve, reject) => {
    const options = { forceSoap12Headers: twelve };
    soap.createClient(env.GATEWAY_WSDL, options, (error, made) => (error ? reject(error) : resolve(made)));
  });
  client.setSecurity(new soap.WSSecurity(env.GATEWAY_USER, env.GATEWAY_SECRET, {
    passwordType: 'PasswordText',
    hasTimeStamp: false,
  }));
  const gateway = client.MobileIdGateway[twelve ? 'Soap12' : 'Soap11'];
  // The request is what stands inside the operation's element: strong-soap makes that element.
  const call = async (operation, request) => (await gateway[operation](request)).result;
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
  const document = Buffer.from(evidence.document, 'base64'); // strong-soap leaves base64Binary encoded
  fs.writeFileSync(env.OUT, document);
  const verified = await call('VerifyEvidence', { document: document.toString('base64') });

  console.log(JSON.stringify({
    database: heartbeat.database,
    transactionId: started.transactionId,
    started: started.state,
    createdAt: instant(started.createdAt),
    final: final.state,
    decidedAt: instant(final.decidedAt),
    amr: [].concat(final.amr),
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
  return (Fault.detail || Fault.Detail).GatewayFault; // SOAP 1.1, SOAP 1.2
}

main().catch((error) => {
  console.error(error.body || error);
  process.exitCode = 1;
});
