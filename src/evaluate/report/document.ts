/** A report as a list of blocks, and the two ways to write it: one HTML page that needs nothing else, and Markdown. */
import { escapeText, PLOT_STYLE, standalone } from './plot.ts';

export type Block =
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string }
  /** A sentence that must not be missed. */
  | { readonly kind: 'verdict'; readonly text: string; readonly detail: string; readonly good: boolean }
  | { readonly kind: 'table'; readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'plot'; readonly name: string; readonly title: string; readonly svg: string };

export interface ReportDocument {
  readonly title: string;
  readonly subtitle: string;
  readonly blocks: readonly Block[];
}

const PAGE_STYLE = `
:root { color-scheme: light dark; --ground: #fff; --text: #131820; --muted: #586373; --line: #e1e6ec; --raised: #f4f6f8; --good: #08744a; --calm: #586373; }
@media screen and (prefers-color-scheme: dark) { :root { --ground: #0f1319; --text: #e7ebf1; --muted: #97a3b3; --line: #252d38; --raised: #171d25; --good: #45c188; --calm: #97a3b3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 32px 20px 64px; max-width: 820px; background: var(--ground); color: var(--text); font: 400 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; }
h2 { font-size: 18px; margin: 36px 0 8px; padding-top: 12px; border-top: 1px solid var(--line); break-after: avoid; }
p { margin: 8px 0; } .subtitle, .detail, figcaption { color: var(--muted); }
.verdict { margin: 20px 0; padding: 14px 18px; border-left: 4px solid var(--calm); background: var(--raised); } .verdict.good { border-color: var(--good); }
.verdict strong { font-size: 19px; } .verdict p { margin: 2px 0 0; }
figure { margin: 14px 0 22px; break-inside: avoid; } figure svg { width: 100%; height: auto; display: block; } figcaption { font-size: 13px; margin-bottom: 4px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 10px 0; font-size: 13.5px; min-width: 60%; }
th, td { padding: 4px 12px 4px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; } th:first-child, td:first-child { text-align: left; } th { color: var(--muted); font-weight: 500; }
.pairs td { text-align: left; white-space: normal; overflow-wrap: anywhere; } .pairs td:first-child { color: var(--muted); white-space: nowrap; } tr { break-inside: avoid; }
@media (max-width: 600px) { figure { overflow-x: auto; } figure svg { min-width: 600px; } }
@media print { body { padding: 0; max-width: none; font-size: 12px; } h2 { margin-top: 20px; } }
`;

/** One page: styles and plots inside, no script, nothing fetched. */
export function renderHtml({ title, subtitle, blocks }: ReportDocument): string {
  const body = blocks.map(htmlOf).join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeText(title)}</title>
<style>${PAGE_STYLE}${PLOT_STYLE}</style>
</head>
<body>
<h1>${escapeText(title)}</h1>
<p class="subtitle">${escapeText(subtitle)}</p>
${body}
</body>
</html>
`;
}

function htmlOf(block: Block): string {
  switch (block.kind) {
    case 'heading':
      return `<h2>${escapeText(block.text)}</h2>`;
    case 'text':
      return `<p>${escapeText(block.text)}</p>`;
    case 'verdict':
      return `<div class="verdict${block.good ? ' good' : ''}"><strong>${escapeText(block.text)}</strong><p class="detail">${escapeText(block.detail)}</p></div>`;
    case 'table': {
      const cells = (tag: string, row: readonly string[]) =>
        row.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('');
      const rows = block.rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n');
      const headed = block.head.some((cell) => cell !== '') ? `<thead><tr>${cells('th', block.head)}</tr></thead>` : '';
      const pairs = headed === '' ? ' class="pairs"' : '';
      return `<div class="wide"><table${pairs}>${headed}<tbody>${rows}</tbody></table></div>`;
    }
    case 'plot':
      return `<figure><figcaption>${escapeText(block.title)}</figcaption>${block.svg}</figure>`;
  }
}

/**
 * Markdown, and the plots as files beside it: viewers of Markdown do not show SVG inside the text.
 * @param folder of the plots, as the text names it
 */
export function renderMarkdown(
  { title, subtitle, blocks }: ReportDocument,
  folder: string,
): { readonly text: string; readonly plots: readonly { readonly file: string; readonly svg: string }[] } {
  const plots: { file: string; svg: string }[] = [];
  for (const block of blocks) {
    if (block.kind === 'plot') plots.push({ file: `${block.name}.svg`, svg: standalone(block.svg) });
  }
  return {
    text: `${[`# ${title}`, subtitle, ...blocks.map((block) => markdownOf(block, folder))].join('\n\n')}\n`,
    plots,
  };
}

function markdownOf(block: Block, folder: string): string {
  const row = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  switch (block.kind) {
    case 'heading':
      return `## ${block.text}`;
    case 'text':
      return block.text;
    case 'verdict':
      return `> **${block.text}**\n>\n> ${block.detail}`;
    case 'table': {
      const rule = row(block.head.map((_, i) => (i === 0 ? '---' : '---:')));
      return [row(block.head), rule, ...block.rows.map(row)].join('\n');
    }
    case 'plot':
      return `![${block.title.replaceAll(']', '')}](${folder}/${block.name}.svg)`;
  }
}
