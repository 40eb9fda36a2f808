// The editor comes with the page, with the languages that the page edits. By itself it would fetch its parts from a public server.
import { loader } from '@monaco-editor/react';
import * as monaco from 'monaco-editor/esm/vs/editor/edcore.main';
import Worker from 'monaco-editor/esm/vs/editor/editor.worker?worker';
import 'monaco-editor/esm/vs/basic-languages/javascript/javascript.contribution';
import 'monaco-editor/esm/vs/basic-languages/yaml/yaml.contribution';
import 'monaco-editor/esm/vs/language/json/monaco.contribution';
import JSONWorker from 'monaco-editor/esm/vs/language/json/json.worker?worker';
import 'monaco-editor/esm/vs/language/typescript/monaco.contribution';
import ScriptWorker from 'monaco-editor/esm/vs/language/typescript/ts.worker?worker';

const workers: Record<string, new () => globalThis.Worker> = { javascript: ScriptWorker, json: JSONWorker };
self.MonacoEnvironment = { getWorker: (_: string, language: string) => new (workers[language] ?? Worker)() };
loader.config({ monaco });

export * from 'monaco-editor/esm/vs/editor/edcore.main';
