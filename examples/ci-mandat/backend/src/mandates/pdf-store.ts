import { createHash, randomUUID } from 'node:crypto';
import { access, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import PDFDocument from 'pdfkit';
import { CONFIG, Config } from '../config';
import type { Mandate } from './mandates.service';

/** The issued documents, one file each, on a volume. */
@Injectable()
export class PdfStore {
  private readonly directory: string;

  constructor(@Inject(CONFIG) config: Config) {
    this.directory = config.pdfDirectory;
  }

  /** A reader sees the whole file or none, also when the process or the machine stops half-way. */
  async write(mandate: Mandate): Promise<{ bytes: number; sha256: Buffer }> {
    const content = await render(mandate);
    const temporary = join(this.directory, `.${mandate.id}.${randomUUID()}.tmp`);
    try {
      const handle = await open(temporary, 'wx', 0o640);
      try {
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, this.path(mandate.id));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await this.syncDirectory();
    return { bytes: content.length, sha256: createHash('sha256').update(content).digest() };
  }

  async exists(id: string): Promise<boolean> {
    return access(this.path(id)).then(
      () => true,
      () => false,
    );
  }

  async read(id: string): Promise<Buffer | undefined> {
    try {
      return await readFile(this.path(id));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  // The id is a UUID by the time it comes here: the controller lets nothing else through.
  private path(id: string): string {
    return join(this.directory, `${id}.pdf`);
  }

  // The new name is on disk only when the directory is.
  private async syncDirectory(): Promise<void> {
    const handle = await open(this.directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

function render(mandate: Mandate): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const document = new PDFDocument({
      size: 'A4',
      margin: 72,
      lang: 'fr',
      info: { Title: `Mandat ${mandate.reference}`, Author: 'CI-Mandat' },
    });
    const chunks: Buffer[] = [];
    document.on('data', (chunk: Buffer) => chunks.push(chunk));
    document.on('end', () => resolve(Buffer.concat(chunks)));
    document.on('error', reject);

    document.font('Helvetica-Bold').fontSize(22).text('Mandat de représentation', { align: 'center' });
    document.moveDown(0.5).font('Helvetica').fontSize(11).text(`Référence ${mandate.reference}`, { align: 'center' });
    document.moveDown(3);
    const lines: [string, string][] = [
      ['Nom', mandate.nom],
      ['Prénom', mandate.prenom],
      ['Fonction', mandate.fonction],
      ['Circonscription', mandate.circonscription],
      ['Courriel', mandate.email],
      ['Téléphone', mandate.telephone],
    ];
    for (const [label, value] of lines) {
      document.font('Helvetica-Bold').text(`${label} : `, { continued: true }).font('Helvetica').text(value);
      document.moveDown(0.5);
    }
    document.moveDown(2).text(
      `La personne nommée ci-dessus est mandatée pour représenter la campagne dans la circonscription de ` +
        `${mandate.circonscription}. Demande reçue le ${mandate.createdAt.slice(0, 10)}.`,
    );
    document.end();
  });
}
