import { DynamicModule, Module } from '@nestjs/common';
import { CONFIG, Config } from './config';
import { Database } from './database';
import { HealthController } from './health.controller';
import { MandatesController } from './mandates/mandates.controller';
import { MandatesService } from './mandates/mandates.service';
import { PdfStore } from './mandates/pdf-store';
import { PersonalDataCipher } from './personal-data';
import { Redis } from './redis';

@Module({})
export class AppModule {
  static with(config: Config): DynamicModule {
    return {
      module: AppModule,
      controllers: [HealthController, MandatesController],
      providers: [
        { provide: CONFIG, useValue: config },
        Database,
        Redis,
        PersonalDataCipher,
        PdfStore,
        MandatesService,
      ],
    };
  }
}
