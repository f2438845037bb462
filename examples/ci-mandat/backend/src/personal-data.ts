import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, Config } from './config';

export interface PersonalData {
  nom: string;
  prenom: string;
  email: string;
  telephone: string;
}

const VERSION = 'v1.';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Keeps personal data unreadable in the database: AES-256-GCM with a fresh nonce for each value. The mandate's reference
 * is authenticated along with it, so a value that is moved to another row does not decrypt. The version in front leaves
 * room for another key or method later.
 */
@Injectable()
export class PersonalDataCipher {
  private readonly fieldKey: Buffer;
  private readonly indexKey: Buffer;

  constructor(@Inject(CONFIG) config: Config) {
    const derive = (purpose: string) => Buffer.from(hkdfSync('sha256', config.encryptionKey, '', purpose, 32));
    this.fieldKey = derive('ci-mandat/personal-data/v1');
    this.indexKey = derive('ci-mandat/email-index/v1');
  }

  encrypt(data: PersonalData, reference: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.fieldKey, nonce).setAAD(Buffer.from(reference));
    const body = Buffer.concat([cipher.update(JSON.stringify(data), 'utf8'), cipher.final()]);
    return VERSION + Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url');
  }

  decrypt(value: string, reference: string): PersonalData {
    if (!value.startsWith(VERSION)) throw new Error('personal data of an unknown version');
    const bytes = Buffer.from(value.slice(VERSION.length), 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', this.fieldKey, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(reference)).setAuthTag(bytes.subarray(-TAG_BYTES));
    const body = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    return JSON.parse(body.toString('utf8')) as PersonalData;
  }

  /** Equal for equal addresses, and of no use to anyone without the key. */
  emailIndex(email: string): Buffer {
    return createHmac('sha256', this.indexKey).update(email.toLowerCase()).digest();
  }
}
