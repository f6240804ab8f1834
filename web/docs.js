/** Shows the server's own OpenAPI description. */

const element = (name, text, className) =>
  Object.assign(document.createElement(name), { textContent: text ?? '', className: className ?? '' });

/** A schema's type in a few words; named forms link to their section. */
function typeOf(schema) {
  if (schema === undefined) return element('span', '');
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1);
    return Object.assign(element('a', name), { href: `#${name}` });
  }
  const span = element('span');
  if (schema.anyOf) {
    for (const part of schema.anyOf) span.append(span.hasChildNodes() ? ' or ' : '', typeOf(part));
  } else if (schema.type === 'array') span.append('list of ', typeOf(schema.items));
  else if (schema.enum) span.append(schema.enum.join(', '));
  else span.append([schema.type].flat().join(' or '));
  return span;
}

function tableOf(rows) {
  const table = element('table');
  for (const [name, type, description] of rows) {
    const row = table.insertRow();
    row.insertCell().append(name);
    row.insertCell().append(type);
    row.insertCell().append(description ?? '');
  }
  return table;
}

const fieldsOf = (schema, prefix = '') =>
  Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
    [prefix + name, typeOf(field), field.description],
    ...(field.properties ? fieldsOf(field, `${prefix}${name}.`) : []),
  ]);

const api = await (await fetch('/docs/openapi.json')).json();
document.getElementById('about').textContent =
  `Version ${api.info.version}. Times are ISO 8601 UTC. An error is { "error": { "code", "message" } }.`;

const routes = document.getElementById('routes');
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, route] of Object.entries(methods)) {
    const title = element('h3');
    title.append(element('span', method.toUpperCase(), 'method'), path);
    routes.append(title, element('p', route.summary));
    if (route.parameters) {
      routes.append(
        tableOf(route.parameters.map((it) => [it.name, `in the ${it.in}`, it.description ?? it.schema?.description])),
      );
    }
    const answers = Object.entries(route.responses ?? {}).map(([code, answer]) => {
      const schema = Object.values(answer.content ?? {})[0]?.schema;
      const fields = element('span');
      for (const [name, field] of Object.entries(schema?.properties ?? {})) {
        fields.append(fields.hasChildNodes() ? ', ' : '', `${name}: `, typeOf(field));
      }
      return [code, schema?.$ref ? typeOf(schema) : '', fields];
    });
    routes.append(tableOf(answers));
  }
}
routes.removeAttribute('aria-busy');

const schemas = document.getElementById('schemas');
for (const [name, schema] of Object.entries(api.components.schemas)) {
  schemas.append(
    Object.assign(element('h3', name), { id: name }),
    element('p', schema.description),
    tableOf(fieldsOf(schema)),
  );
}
if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
