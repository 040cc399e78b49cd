/*
 * Node.js, npm soap: one operation of each kind, from a registration to evidence and a redeemed code.
 *
 * Install:   npm install soap
 * Generate:  nothing: soap reads the WSDL when the program starts
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... node client.js
 *
 * SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF (the person), CONSENT (a text file) and OUT (where the evidence goes)
 * are as in every program beside this one. Each answer is printed as one line of JSON; the person with the phone
 * reads there what a bank's screen would show.
 */
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const soap = require('soap');

const env = process.env;
const FINAL = ['COMPLETED', 'REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED', 'BLOCKED'];
const PAYMENT = {
  total: '1250.00',
  currency: 'EUR',
  payee: [{ name: 'Garage Müller', account: 'DE89370400440532013000', amount: '1250.00' }],
};
const text = (title, content) => ({ title, content, mediaType: 'text/plain' });

async function connect() {
  const twelve = env.SOAP_VERSION === '1.2';
  const client = await soap.createClientAsync(env.GATEWAY_WSDL, {
    forceSoap12Headers: twelve, // envelope and content type; the port alone does not change them
  });
  client.setSecurity(new soap.WSSecurity(env.GATEWAY_USER, env.GATEWAY_SECRET, {
    passwordType: 'PasswordText',
    hasTimeStamp: false,
  }));
  const gateway = client.MobileIdGateway[twelve ? 'Soap12' : 'Soap11'];
  return (operation, request) => new Promise((resolve, reject) => {
    gateway[operation](request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

function say(operation, what) {
  console.log(JSON.stringify({ operation, ...what }));
}

function must(holds, says) {
  if (!holds) throw new Error(says);
}

async function main() {
  const ask = await connect();
  const call = async (operation, request) => {
    const response = await ask(operation, request);
    say(operation, { response });
    return response;
  };
  // Starts a transaction; the request id makes it safe to repeat.
  const start = async (operation, about) => (await call(operation, {
    requestId: crypto.randomUUID(),
    externalRef: env.EXTERNAL_REF,
    locale: 'de',
    ...about,
  })).transaction;
  // The transaction once the person has approved it; each call waits for that.
  const approved = async (started) => {
    let last = started;
    while (!FINAL.includes(last.state)) {
      last = (await call('GetTransaction', { transactionId: started.transactionId, waitSeconds: 20 })).transaction;
    }
    must(last.state === 'COMPLETED', `it ended as ${last.state}`);
    return last;
  };
  // The code serves once, and of a payment for the very payment that was signed.
  const redeem = async (transaction, about) => {
    const done = (await call('RedeemAuthenticationCode', {
      requestId: crypto.randomUUID(),
      transactionId: transaction.transactionId,
      authenticationCode: transaction.authenticationCode,
      ...about,
    })).transaction;
    must(done.redeemedAt, 'the code was not redeemed');
  };

  must((await call('Heartbeat', {})).database, 'the gateway has no database');

  let { registration } = await call('StartRegistration', {
    requestId: crypto.randomUUID(),
    externalRef: env.EXTERNAL_REF,
    attribute: [{ name: 'name', value: 'Zoë Ångström-Şahin' }],
  });
  while (registration.state !== 'ACTIVATED') {
    must(registration.state === 'PENDING', `it ended as ${registration.state}`);
    await sleep(200);
    ({ registration } = await call('GetRegistration', { registrationId: registration.registrationId }));
  }
  const devices = [].concat((await call('ListDevices', { externalRef: env.EXTERNAL_REF })).device);
  must(devices.length === 1 && devices[0].deviceId === registration.deviceId, 'not the one device');

  const consent = text('Darlehen über € 348.500,00', fs.readFileSync(env.CONSENT, 'utf8'));
  const signed = await approved(await start('StartConsentSignature', { preContext: consent }));
  const evidence = await call('GetEvidence', { transactionId: signed.transactionId });
  const document = Buffer.from(evidence.document, 'base64'); // soap leaves base64Binary encoded
  fs.writeFileSync(env.OUT, document);
  const { conclusion } = await call('VerifyEvidence', { document: document.toString('base64') });
  must(conclusion.indication === 'TOTAL-PASSED', conclusion.explanation);

  await approved(await start('StartTextSignature', {
    text: [
      text('Kartenbedingungen', 'Ich habe die Bedingungen gelesen.'),
      text('Gebühren', 'Ich zahle € 25,00 im Jahr.'),
    ],
  }));
  await redeem(await approved(await start('StartAuthentication')));
  await redeem(await approved(await start('StartAuthorisation', { payment: PAYMENT })), { payment: PAYMENT });

  const wrong = text('Darlehen über € 348.500,00', 'zero\u200bwidth');
  await start('StartConsentSignature', { preContext: wrong }).catch((error) => {
    say('StartConsentSignature', { fault: refused(error) });
  });
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
