import { Transform } from 'class-transformer';
import { IsEmail, IsString, Length, Matches } from 'class-validator';

const Trimmed = () => Transform(({ value }) => (typeof value === 'string' ? value.trim().normalize('NFC') : value));
// Letters of any script, with the marks that occur in names, titles and place names. Control characters stay out.
const Words = () =>
  Matches(/^[\p{L}\p{N}][\p{L}\p{M}\p{N}\p{Zs}.,'’()/°-]*$/u, {
    message: '$property may consist of letters, digits, spaces and simple punctuation only',
  });

export class CreateMandateDto {
  @Trimmed() @IsString() @Length(1, 100) @Words()
  nom: string;

  @Trimmed() @IsString() @Length(1, 100) @Words()
  prenom: string;

  @Trimmed() @IsString() @Length(1, 100) @Words()
  fonction: string;

  @Trimmed() @IsEmail() @Length(3, 254)
  email: string;

  @Trimmed() @IsString() @Matches(/^\+?[0-9][0-9 .-]{6,18}[0-9]$/, { message: 'telephone must be a telephone number' })
  telephone: string;

  @Trimmed() @IsString() @Length(1, 100) @Words()
  circonscription: string;
}
