import { randomInt } from 'node:crypto';
import { ConflictException, Injectable, NotFoundException } from '@nestjs/common';
import { DatabaseError } from 'pg';
import { Database } from '../database';
import { log } from '../log';
import { PersonalDataCipher } from '../personal-data';
import { CreateMandateDto } from './create-mandate.dto';
import { PdfStore } from './pdf-store';

export interface Mandate {
  id: string;
  reference: string;
  status: string;
  nom: string;
  prenom: string;
  fonction: string;
  email: string;
  telephone: string;
  circonscription: string;
  createdAt: string;
  pdf: boolean;
}

/** What the list shows: nobody needs everyone's address and telephone number at once. */
export type MandateSummary = Omit<Mandate, 'email' | 'telephone'>;

interface Row {
  id: string;
  reference: string;
  status: string;
  fonction: string;
  circonscription: string;
  personal_data: string;
  created_at: Date;
  pdf: boolean;
}

const SELECT = `
  SELECT m.id, m.reference, m.status, m.fonction, m.circonscription, m.personal_data, m.created_at,
         d.mandate_id IS NOT NULL AS pdf
  FROM mandates m LEFT JOIN documents d ON d.mandate_id = m.id`;

const UNIQUE_VIOLATION = '23505';
const LIST_LIMIT = 100;

@Injectable()
export class MandatesService {
  constructor(
    private readonly database: Database,
    private readonly cipher: PersonalDataCipher,
    private readonly store: PdfStore,
  ) {}

  async create(input: CreateMandateDto): Promise<Mandate> {
    const { nom, prenom, email, telephone, fonction, circonscription } = input;
    const reference = newReference();
    try {
      const { rows } = await this.database.query<{ id: string }>(
        `INSERT INTO mandates (reference, fonction, circonscription, personal_data, email_index)
         VALUES ($1, $2, $3, $4, $5) RETURNING id`,
        [
          reference,
          fonction,
          circonscription,
          this.cipher.encrypt({ nom, prenom, email, telephone }, reference),
          this.cipher.emailIndex(email),
        ],
      );
      log('info', 'mandate_created', { id: rows[0].id, reference });
      return await this.find(rows[0].id);
    } catch (error) {
      if (error instanceof DatabaseError && error.code === UNIQUE_VIOLATION && error.constraint?.includes('email')) {
        throw new ConflictException('There is a mandate for this e-mail address already');
      }
      throw error;
    }
  }

  async list(): Promise<MandateSummary[]> {
    const { rows } = await this.database.query<Row>(`${SELECT} ORDER BY m.created_at DESC, m.id LIMIT $1`, [LIST_LIMIT]);
    return rows.map((row) => {
      const { email: _email, telephone: _telephone, ...summary } = this.toMandate(row);
      return summary;
    });
  }

  async find(id: string): Promise<Mandate> {
    const { rows } = await this.database.query<Row>(`${SELECT} WHERE m.id = $1`, [id]);
    if (rows.length === 0) throw new NotFoundException('No such mandate');
    return this.toMandate(rows[0]);
  }

  /** Issues the document once. Asked again it answers with the one that was issued, unless its file is gone. */
  async issuePdf(id: string): Promise<{ id: string; reference: string; bytes: number; sha256: string }> {
    const mandate = await this.find(id);
    return this.database.transaction(async (client) => {
      // The row lock makes two requests for one mandate take turns.
      await client.query('SELECT 1 FROM mandates WHERE id = $1 FOR UPDATE', [id]);
      const { rows } = await client.query<{ sha256: Buffer; bytes: number }>(
        'SELECT sha256, bytes FROM documents WHERE mandate_id = $1',
        [id],
      );
      if (rows.length > 0 && (await this.store.exists(id))) {
        return { id, reference: mandate.reference, bytes: rows[0].bytes, sha256: rows[0].sha256.toString('hex') };
      }
      const { bytes, sha256 } = await this.store.write(mandate);
      await client.query(
        `INSERT INTO documents (mandate_id, sha256, bytes) VALUES ($1, $2, $3)
         ON CONFLICT (mandate_id) DO UPDATE SET sha256 = $2, bytes = $3, created_at = now()`,
        [id, sha256, bytes],
      );
      await client.query("UPDATE mandates SET status = 'completed' WHERE id = $1", [id]);
      log('info', 'pdf_written', { id, reference: mandate.reference, bytes });
      return { id, reference: mandate.reference, bytes, sha256: sha256.toString('hex') };
    });
  }

  async readPdf(id: string): Promise<{ name: string; content: Buffer }> {
    const { rows } = await this.database.query<{ reference: string }>(
      'SELECT m.reference FROM mandates m JOIN documents d ON d.mandate_id = m.id WHERE m.id = $1',
      [id],
    );
    const content = rows.length > 0 ? await this.store.read(id) : undefined;
    if (content === undefined) throw new NotFoundException('No PDF was produced for this mandate');
    return { name: `${rows[0].reference}.pdf`, content };
  }

  private toMandate(row: Row): Mandate {
    const { nom, prenom, email, telephone } = this.cipher.decrypt(row.personal_data, row.reference);
    return {
      id: row.id,
      reference: row.reference,
      status: row.status,
      nom,
      prenom,
      fonction: row.fonction,
      email,
      telephone,
      circonscription: row.circonscription,
      createdAt: row.created_at.toISOString(),
      pdf: row.pdf,
    };
  }
}

// Crockford's alphabet: no letter that is mistaken for a digit when a reference is read out.
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

function newReference(): string {
  const letters = (count: number) => Array.from({ length: count }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
  return `MND-${letters(8)}-${letters(4)}`;
}
