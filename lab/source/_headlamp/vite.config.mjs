// Puts the page together: Headlamp's npm package, unpacked in ./headlamp, and the shell around it in ./src.
import react from '@vitejs/plugin-react';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import svgr from 'vite-plugin-svgr';

const { version } = JSON.parse(readFileSync('headlamp/package.json', 'utf8'));
const env = values => Object.fromEntries(Object.entries(values).map(([k, v]) => [`import.meta.env.${k}`, JSON.stringify(v)]));

function scripts(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap(e => {
    const name = `${dir}/${e.name}`;
    return e.isDirectory() ? scripts(name) : name.endsWith('.js') ? [name] : [];
  });
}

// The page calls icons by name and would fetch each from a public server. All that its code names come with it instead.
const icons = {
  name: 'icons',
  resolveId: id => (id === 'virtual:icons' ? id : undefined),
  load(id) {
    if (id !== 'virtual:icons') return;
    const named = new Set();
    for (const name of scripts('headlamp/lib')) {
      for (const [, icon] of readFileSync(name, 'utf8').matchAll(/\bmdi:([a-z0-9-]+)/g)) named.add(icon);
    }
    const found = [...named].filter(n => existsSync(`node_modules/@iconify/icons-mdi/${n}.js`)).sort();
    return [
      ...found.map((n, i) => `import i${i} from '@iconify/icons-mdi/${n}';`),
      `export default { ${found.map((n, i) => `'${n}': i${i}`).join(', ')} };`,
    ].join('\n');
  },
};

export default defineConfig({
  plugins: [icons, react(), svgr({ include: '**/*.svg?react' })],
  resolve: {
    alias: [
      { find: 'path', replacement: 'path-browserify' },
      { find: /^monaco-editor$/, replacement: fileURLToPath(new URL('src/editor.ts', import.meta.url)) },
    ],
  },
  define: {
    global: 'globalThis',
    'process.env.NODE_ENV': '"production"',
    ...env({ REACT_APP_HEADLAMP_VERSION: `npm ${version}`, REACT_APP_HEADLAMP_GIT_VERSION: '', REACT_APP_HEADLAMP_PRODUCT_NAME: 'Headlamp' }),
  },
  build: { target: 'es2022', chunkSizeWarningLimit: 10_000 },
  logLevel: 'warn',
});
