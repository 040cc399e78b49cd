/*
 * Node.js, npm soap and xml-crypto: a signed call, and an answer that is the gateway's or is refused.
 *
 * Install:   npm install soap xml-crypto @xmldom/xmldom@0.8
 * Generate:  nothing: soap reads the WSDL when the program starts
 * Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl KEY=core.key CERTIFICATE=core.pem
 *            GATEWAY_CERTIFICATE=message.pem node signed.js
 *
 * SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one.
 */
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const { DOMParser } = require('@xmldom/xmldom');
const soap = require('soap');
const { SignedXml } = require('xml-crypto');

const env = process.env;
const TWELVE = env.SOAP_VERSION === '1.2';
const SOAP = TWELVE ? 'http://www.w3.org/2003/05/soap-envelope' : 'http://schemas.xmlsoap.org/soap/envelope/';
const DS = 'http://www.w3.org/2000/09/xmldsig#';
const EXCLUSIVE = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const RSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256';
const ECDSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256';
const WSS = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-';
const WSSE = `${WSS}wssecurity-secext-1.0.xsd`;
const WSU = `${WSS}wssecurity-utility-1.0.xsd`;
const WSSE11 = 'http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd';
const GATEWAY = fs.readFileSync(env.GATEWAY_CERTIFICATE, 'utf8');

// xml-crypto has RSA alone, and signs with an EC key under RSA's name; this is what XML-DSig means by ECDSA.
class Ecdsa {
  getAlgorithmName() {
    return ECDSA_SHA256;
  }

  getSignature(data, { key }) {
    return crypto.sign('sha256', Buffer.from(data), { key, dsaEncoding: 'ieee-p1363' }).toString('base64');
  }

  verifySignature(data, key, value) {
    return crypto.verify('sha256', Buffer.from(data), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(value, 'base64'));
  }
}

// soap's own Timestamp lasts ten minutes: this one lasts five. Its id makes each message another one.
class Signature extends soap.WSSecurityCert {
  constructor(key, certificate) {
    const elliptic = crypto.createPrivateKey(key).asymmetricKeyType === 'ec';
    super(key, certificate, '', {
      hasTimeStamp: false,
      additionalReferences: ['wsu:Timestamp'],
      signatureAlgorithm: elliptic ? ECDSA_SHA256 : RSA_SHA256,
      signatureTransformations: [EXCLUSIVE],
      signerOptions: { idMode: 'wssecurity' },
    });
    this.signer.SignatureAlgorithms[ECDSA_SHA256] = Ecdsa;
  }

  postProcess(xml, envelopeKey) {
    const now = Date.now();
    const moment = (at) => new Date(at).toISOString();
    this.appendElement = `<wsu:Timestamp wsu:Id="id-${crypto.randomUUID()}"><wsu:Created>${moment(now)}</wsu:Created>`
      + `<wsu:Expires>${moment(now + 5 * 60 * 1000)}</wsu:Expires></wsu:Timestamp>`;
    return super.postProcess(xml, envelopeKey);
  }
}

class Refused extends Error {}

function must(holds, says) {
  if (!holds) throw new Refused(says);
}

// The one child of that name; where there is another, nothing is taken.
function only(node, namespace, name) {
  const found = Array.from(node.childNodes).filter((child) => child.namespaceURI === namespace && child.localName === name);
  must(found.length === 1, `${found.length} of ${name}`);
  return found[0];
}

function parse(xml) {
  return new DOMParser().parseFromString(xml, 'text/xml').documentElement;
}

function security(envelope) {
  must(envelope, 'no XML');
  return only(only(envelope, SOAP, 'Header'), WSSE, 'Security');
}

// An envelope with the signed Body of the answer, and nothing that was not signed; throws Refused.
function verified(answer, request) {
  must(answer.trim(), 'no answer');
  const envelope = parse(answer);
  const header = security(envelope);
  const verifier = new SignedXml({ publicCert: GATEWAY }); // and no key that KeyInfo offers
  verifier.SignatureAlgorithms = { [RSA_SHA256]: verifier.SignatureAlgorithms[RSA_SHA256], [ECDSA_SHA256]: Ecdsa };
  const signature = only(header, DS, 'Signature');
  try {
    verifier.loadSignature(signature);
    must(verifier.checkSignature(answer), 'a digest differs');
  } catch (error) {
    throw new Refused(error.message);
  }
  // What was signed, as it was signed; from here on, nothing else is looked at.
  const signed = new Map(verifier.getSignedReferences().map((xml) => [parse(xml).getAttributeNS(WSU, 'Id'), xml]));
  const [body, timestamp, confirmation] = [
    only(envelope, SOAP, 'Body'), only(header, WSU, 'Timestamp'), only(header, WSSE11, 'SignatureConfirmation'),
  ].map((node) => {
    const id = node.getAttributeNS(WSU, 'Id');
    must(id && signed.has(id), `${node.localName} is not signed`);
    return signed.get(id);
  });
  must(new Date(only(parse(timestamp), WSU, 'Expires').textContent) > new Date(), 'too old');
  const sent = only(only(security(parse(request)), DS, 'Signature'), DS, 'SignatureValue').textContent;
  must(parse(confirmation).getAttribute('Value') === sent, 'the answer to another request');
  return `<s:Envelope xmlns:s="${SOAP}">${body}</s:Envelope>`;
}

// What soap reads of an answer is what was verified, response or fault.
class Verifying extends soap.HttpClient {
  request(url, data, callback, headers, options) {
    const take = (error, response, body) => {
      let found;
      try {
        found = error || verified(String(body), data);
      } catch (refused) {
        found = refused;
      }
      return typeof found === 'string' ? callback(null, response, found) : callback(found, response, body);
    };
    return super.request(url, data, data ? take : callback, headers, options); // no data: the WSDL
  }
}

async function connect() {
  const client = await soap.createClientAsync(env.GATEWAY_WSDL, {
    forceSoap12Headers: TWELVE, // envelope and content type; the port alone does not change them
    httpClient: new Verifying(),
  });
  client.setSecurity(new Signature(fs.readFileSync(env.KEY, 'utf8'), fs.readFileSync(env.CERTIFICATE, 'utf8')));
  const gateway = client.MobileIdGateway[TWELVE ? 'Soap12' : 'Soap11'];
  return (operation, request) => new Promise((resolve, reject) => {
    gateway[operation](request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

async function main() {
  const ask = await connect();
  const call = async (operation, request) => {
    const say = (what) => console.log(JSON.stringify({ operation, ...what }));
    try {
      say({ response: await ask(operation, request) });
    } catch (error) {
      if (error instanceof Refused) say({ refused: error.message });
      else if (error.root) say({ fault: fault(error) });
      else throw error;
    }
  };
  await call('StartRegistration', {
    requestId: crypto.randomUUID(),
    externalRef: env.EXTERNAL_REF,
    attribute: [{ name: 'name', value: 'Zoë & Ångström <Şahin>' }],
  });
  await call('GetTransaction', { transactionId: '00000000-0000-7000-8000-000000000000' });
}

function fault(error) {
  const { Fault } = error.root.Envelope.Body;
  return (Fault.detail || Fault.Detail).GatewayFault; // SOAP 1.1, SOAP 1.2
}

main().catch((error) => {
  console.error(error.body || error);
  process.exitCode = 1;
});
