import { Body, Controller, Get, Header, Param, ParseUUIDPipe, Post, StreamableFile } from '@nestjs/common';
import { CreateMandateDto } from './create-mandate.dto';
import { MandatesService } from './mandates.service';

@Controller('mandates')
export class MandatesController {
  constructor(private readonly mandates: MandatesService) {}

  @Post()
  create(@Body() input: CreateMandateDto) {
    return this.mandates.create(input);
  }

  @Get()
  @Header('Cache-Control', 'no-store')
  list() {
    return this.mandates.list();
  }

  @Get(':id')
  @Header('Cache-Control', 'no-store')
  find(@Param('id', ParseUUIDPipe) id: string) {
    return this.mandates.find(id);
  }

  @Post(':id/pdf')
  issuePdf(@Param('id', ParseUUIDPipe) id: string) {
    return this.mandates.issuePdf(id);
  }

  @Get(':id/pdf')
  @Header('Cache-Control', 'no-store')
  async readPdf(@Param('id', ParseUUIDPipe) id: string) {
    const { name, content } = await this.mandates.readPdf(id);
    return new StreamableFile(content, { type: 'application/pdf', disposition: `attachment; filename="${name}"` });
  }
}
