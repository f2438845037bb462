import type { NextConfig } from 'next';

// The Content-Security-Policy is not here: it carries a nonce that differs for each request (see proxy.ts).
const securityHeaders = [
  { key: 'Strict-Transport-Security', value: 'max-age=31536000; includeSubDomains' },
  { key: 'X-Content-Type-Options', value: 'nosniff' },
  { key: 'X-Frame-Options', value: 'DENY' },
  { key: 'Referrer-Policy', value: 'same-origin' },
  { key: 'Cross-Origin-Opener-Policy', value: 'same-origin' },
  { key: 'Cross-Origin-Resource-Policy', value: 'same-origin' },
  { key: 'Permissions-Policy', value: 'camera=(), geolocation=(), microphone=()' },
];

const config: NextConfig = {
  // The server with just the modules it loads, instead of all of node_modules.
  output: 'standalone',
  poweredByHeader: false,
  // No images are resized, so the native library for that stays out of the image.
  images: { unoptimized: true },
  outputFileTracingExcludes: { '*': ['node_modules/sharp/**', 'node_modules/@img/**'] },
  headers: async () => [{ source: '/:path*', headers: securityHeaders }],
};

export default config;
