#!/usr/bin/env python3
"""Writes Tests/Fixtures/templates: what Jinja 3.1 makes of our templates, set up as Hugging Face sets it up.

    pip install 'jinja2==3.1.*' && Scripts/goldens/templates.py

The cases are written here by hand, multiplied out of lists, or drawn at random from a fixed seed; running this again
must change nothing. template_environment.py sets Jinja up.
"""
import json
import pathlib
import random
import re

from template_environment import CONTEXT, run

ROOT = pathlib.Path(__file__).resolve().parents[2] / "Tests/Fixtures/templates"


def is_portable(output):
    """Addresses, numbers beyond 64 bits, complex numbers and HTML escaping are none of our business."""
    if isinstance(output, dict):
        return True
    if " at 0x" in output or "Markup(" in output or re.search(r"\dj\)", output):
        return False
    return not re.search(r"\d{19}", output) and len(output) < 2000


def cases(templates):
    seen = {}
    for template in templates:
        if template not in seen:
            output = run(template)
            if is_portable(output):
                seen[template] = output
    return [[template, output] for template, output in seen.items()]


def write(name, value):
    ROOT.mkdir(parents=True, exist_ok=True)
    if isinstance(value, list):
        body = ",\n".join(json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in value)
        text = f"[\n{body}\n]\n"
    else:
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    (ROOT / name).write_text(text, encoding="utf-8")


# --- Expressions -----------------------------------------------------------------------------------------

OPERANDS = [
    "0", "1", "7", "-3", "2.5", "-0.5", "true", "false", "none", "''", "'a'", "'ab'", "[]", "[1]", "[1,'a']", "()",
    "(1,)", "{}", "{'a':1}", "nope", "range(2)",
]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


def operator_cases():
    for operation in BINARY:
        for a in OPERANDS:
            for b in OPERANDS:
                yield "{{ %s %s %s }}" % (a, operation, b)
    for a in OPERANDS:
        yield from ("{{ not %s }}" % a, "{{ -%s }}" % a, "{{ +%s }}" % a, "{{ '%%s' %% (%s,) }}" % a)
        yield "{{ 'y' if %s else 'n' }}" % a
        yield "{{ [%s] }}{{ {'k': %s} }}{{ (%s,) }}" % (a, a, a)
        yield "{%% for x in %s %%}<{{ x }}>{%% else %%}-{%% endfor %%}" % a


PRECEDENCE = """
1 + 2 * 3|1 + 2 ~ 3|'a' ~ 1 + 2|2 ** 3 ** 2|-2 ** 2|2 ** -1|10 - 2 - 3|10 / 4 / 5|7 // 2 * 2|7 % 4 % 2|not 1 == 2
not true or true|not (true or true)|true or false and false|(true or false) and false|1 < 2 < 3|3 > 2 > 2|1 == 1 == 1
1 in [1] == true|'a' in 'abc' and 'b' in 'abc'|1 if true else 2 if false else 3|1 if false else 2 if false else 3
(1 if false)|1 if false|'x' ~ (1 if false) ~ 'y'|[1 if false]|1 + -2|- 2 + 3|--2|-+-2|+true|-true|-s|+nil
1, 2|(1, 2)|(1,)|()|1,|[1, 2,]|{'a': 1,}|[]|{}|[[]]|{'a': {'b': [1, {}]}}|{1: 2, 'x': 3, none: 4, true: 5}|{1: 'a', 1.0: 'b'}
{(1, 2): 3}|{[1]: 2}|{'a': 1, 'a': 2}|'a' 'b'|"a" 'b' "c"|'\\n\\t\\\\\\'\\"'|'\\x41\\u00e9\\U0001F600'|'\\101\\0'|'\\q\\d'|'a\\
b'|0x1F|0b101|0o17|1_000|1e3|1.5e-3|1E5|2.50|1_0.5_0|07|00|1__0|1_|.5|1.|1.e5|123.456e2|0x|0b2|true|True|TRUE|none|None|null|nil
s.upper()|s['upper']()|s.nope|s.nope.x|s['nope']|s[0]|s[-1]|s[99]|s[1:3]|s[::-1]|s[-5:]|s[:-6]|s[::2]|s[5:1:-1]|s[::0]
s[1.5]|s['a':]|s[none:none:none]|s[true]|list[0]|list[-1]|list[3]|list['0']|list.0|list.1|nested.0.1.0|list[1:]|list[:-1]
list[::-1]|list[10:]|list[-10:2]|list[2:0:-1]|(1,2,3)[1:]|(1,2,3)[0]|range(5)[1:3]|range(5)[::-1]|range(5)[2]|range(5)[-1]
d.a|d['a']|d.nope|d['nope']|d.nope is defined|d.items|d['items']|d.items()|d.keys()|d.values()|e.items()|d.get('a')|d.get('x')
d.get('x', 5)|d['get']('b')|d.keys|d['keys']|d['a':]|d[[1]]|d[nope]|d.0|{0: 'z'}.0|{0: 'z'}[0]|{0: 'z'}[false]|{0: 'z'}['0']
nope|nope.x|nope['x']|nope()|nope + 1|nope ~ 'a'|nope == nope|nope == 1|nope is defined|nope|default('x')|[nope]|nope[1:]
nope|list|nope|length|nope in [1]|1 in nope|nope < 1|nope and 1|nope or 1|not nope|nope.x is defined|s.nope is defined
i()|s()|list()|d()|nil()|'a'()|(s)|(s).lower()|s|upper|lower|s|upper.lower()|(s|upper)[0]|s|replace('l','L')|s|first|s is string
s is not string|not s is string|i is divisibleby 7|i is divisibleby(3)|i is eq 7|i is in [7]|i is not in [7]|i is in(list)
i is == 7|i is sameas 7|s is string and i is number|s is string or nope.x|s is nope|s|nope|i is odd|i is even is true
s.split()|s.split('o')|s.split('o', 1)|s.split(sep='o', maxsplit=1)|s.split(none)|s.split('')|s.split(1)|s.rsplit('o', 1)
padded.split()|padded.strip()|padded.lstrip()|padded.rstrip()|s.strip('Hd')|s.lstrip('Hel')|s.rstrip('dl')|s.strip('')|s.strip(none)
s.strip(1)|lines.splitlines()|lines.splitlines(true)|'a\\x0bb\\x0cc\\x1cd\\x85e\\u2028f'.splitlines()|''.splitlines()|'\\n'.splitlines()
s.startswith('He')|s.startswith(('x','He'))|s.startswith('World', 6)|s.startswith('Wor', 6, 8)|s.endswith('ld')|s.endswith(('a','ld'))
s.startswith('')|s.startswith('', 50)|s.startswith(1)|s.startswith(['H'])|s.endswith('Hello', 0, 5)|s.find('o')|s.rfind('o')
s.find('o', 5)|s.find('zz')|s.index('o')|s.index('zz')|s.rindex('l')|s.count('l')|s.count('')|s.count('l', 4)|s.find('')|s.find('', 50)
s.replace('l', 'L')|s.replace('l', 'L', 1)|s.replace('', '-')|s.replace('', '-', 3)|s.replace('x', 'y')|s.replace('l', 1)|s.replace('l')
s.replace('l','L',0)|s.replace('l','L',-1)|'-'.join(words)|'-'.join(list)|'-'.join('abc')|'-'.join(d)|'-'.join([])|'-'.join(nope)|'-'.join(1)
s.upper()|s.lower()|s.title()|s.capitalize()|s.swapcase()|uni.upper()|uni.lower()|uni.title()|uni.capitalize()|uni.swapcase()|'ß'.upper()
'ǆ'.title()|'ΑΣ'.lower()|'they\\'re x'.title()|s.isalpha()|'ab'.isalpha()|''.isalpha()|'12'.isdigit()|'1²'.isdigit()|'1²'.isdecimal()
'½'.isnumeric()|'a1'.isalnum()|' '.isspace()|''.isspace()|'Ab'.istitle()|'AB'.isupper()|'ab'.islower()|'a1'.isidentifier()|'é'.isascii()
'a\\n'.isprintable()|s.center(20)|s.center(20, '*')|s.center(21, '*')|'ab'.center(5)|'abc'.center(6)|s.ljust(15, '.')|s.rjust(15, '.')|s.ljust(3)|s.center(20, '**')
'42'.zfill(5)|'-42'.zfill(5)|'+4'.zfill(1)|'a\\tb'.expandtabs()|'a\\tb'.expandtabs(4)|s.partition(' ')|s.partition('x')|s.rpartition('o')|s.rpartition('x')
s.partition('')|s.removeprefix('Hello')|s.removeprefix('x')|s.removesuffix('World')|s.removesuffix('')|s.encode|s.format()|s.nope()|s.upper(1)
s.upper(x=1)|s.split(foo=1)|list.append(4)|list.pop()|list.index(1)|list.index(9)|list.count(1)|list.copy()|list.sort()|d.update({'x':1})|d.pop('a')
d.copy()|d.setdefault('x', 1)|d.clear()|(1,2,1).count(1)|(1,2).index(2)|range(3).index(2)|range(3).count(1)|f.is_integer()|s.__class__|s.__class__.x|d.__class__|d['__class__']
s._private|d._private|list.append|list.append is defined|d.update|s|attr('upper')|d|attr('a')|d|attr('items')|d|attr('nope')|s|attr('__class__')
'{} {}'.format(1, 'a')|'{1} {0}'.format(1, 'a')|'{x}'.format(x=5)|'{0[a]}'.format(d)|'{0.a}'.format(d)|'{:>5}|{:<5}|{:^5}'.format(1, 2, 3)|'{:*^7}'.format('ab')
'{:.2f}'.format(3.14159)|'{:05d}'.format(42)|'{:+d}'.format(5)|'{:,}'.format(1234567)|'{:_}'.format(1234567)|'{:x} {:#x} {:X} {:o} {:b}'.format(255,255,255,8,5)
'{:e}'.format(12345.678)|'{:g}'.format(0.00001)|'{:%}'.format(0.25)|'{:.1%}'.format(0.256)|'{:s}'.format('x')|'{:d}'.format('x')|'{!r}'.format('x')|'{!s}'.format(1)
'{{}}'.format()|'{'.format()|'}'.format()|'{}'.format()|'{} {0}'.format(1)|'{x}'.format()|'{:{}}'.format('a', 5)|'{:{w}}'.format('a', w=5)|'{:5}'.format(true)|'{:5}'.format([1])
'{}'.format([1])|'{:.3}'.format('abcdef')|'{:10.3f}'.format(2.0)|'{:<10,.2f}'.format(12345.6)|'{:c}'.format(65)|'{:.2}'.format(2.0)|'{:f}'.format(1)|'{:=+6}'.format(5)
'%s' % 'a'|'%s %s' % (1, 2)|'%s' % (1, 2)|'%s %s' % 1|'%d' % 3.7|'%d' % 'x'|'%5d|%-5d|%05d|%+d' % (1, 2, 3, 4)|'%.2f' % 1.005|'%x %X %o' % (255, 255, 8)|'%e' % 12345.678|'%g' % 1e10
'%%' % ()|'%s' % none|'%s' % [1]|'%r' % 'a'|'%(a)s' % d|'%(a)d-%(b)s' % d|'%(zz)s' % d|'%c' % 65|'%c' % 'x'|'%5s|%-5s|' % ('a', 'b')|'%.2s' % 'abc'|'%' % 1|'%z' % 1|'x' % 1|'x' % []|'x' % ()
'%s' % d|'%i' % 5|'%u' % 5|'%*d' % (5, 1)|'%.3d' % 5|'%05.1f' % 2.25|'%#x' % 255|'% d' % 5|'%s' % nope|'%d' % nope|'%d' % true
range(3)|range(1, 4)|range(0, 10, 3)|range(5, 0, -2)|range(0)|range(3)|list|range(1, 2, 0)|range(100000)|length|range(100001)|range()|range('a')|range(1.5)|range(3) == range(0, 3)|range(3)|length
range(-5)|list|range(5)|sum|range(5)|last|range(5)|first|3 in range(5)|range(2) ~ 'x'|dict(a=1, b=2)|dict({'a': 1}, b=2)|dict([('a', 1)])|dict(1)|dict([[1,2]])|namespace()|namespace(a=1).a|namespace(a=1).b
namespace({'a': 1}).a|namespace(a=1)['a']|strftime_now('%Y-%m-%d')|strftime_now('%d %b %Y')|strftime_now('%A, %B %d %H:%M:%S %p %j %U %%')|strftime_now('%d %B, %Y')|strftime_now('')|strftime_now('x')|strftime_now('%y %I %a %m')
strftime_now()|raise_exception('no')|raise_exception('no ' ~ i)|raise_exception()|raise_exception(1)|range(3)|map('string')|list|loop|loop.index|caller|varargs|kwargs
[*list]|f(*list)|dict(**d)|dict(**1)|'{} {} {}'.format(*list)|dict(**{'a': 1}, b=2)|dict(a=1, a=2)|'{}'.format(*1)|s.replace(*['l', 'L'])|s.split(**{'sep': 'o'})
true == 1|false == 0|1 == 1.0|'1' == 1|none == none|none == false|[1, 2] == [1, 2]|[1] == (1,)|(1,) == (1,)|{'a': 1} == {'a': 1.0}|{'a': 1} == {'b': 1}|[] == []|'' == none|1 < 1.5|true < 2
'a' < 'b'|'A' < 'a'|'é' < 'z'|[1, 2] < [1, 3]|[1] < [1, 0]|(1, 'a') < (1, 'b')|[1] < ['a']|none < 1|'a' < 1|{} < {}|[] < ()|1 in 1|'a' in ['a']|'a' in d|'z' in d|1 in d.values()|'a' in d.keys()
('a', 2) in d.items()|1 in 'abc'|none in [none]|'' in 'abc'|'abc' in 'abc'|'' in ''|[1] in [[1]]|1.0 in [1]|true in [1]|s in s|5 // 2|-5 // 2|5 // -2|-5 % 3|5 % -3|5.5 // 2|-5.5 // 2|5.5 % 2|-5.5 % 2|5 / 2
4 / 2|1 / 3|0 / 5|1 // 0|1 % 0|1.0 // 0|1 / 0.0|2 ** 10|2 ** 0.5|2 ** -2|0 ** 0|0 ** -1|10 ** 18|(-2) ** 3|1e308 * 10|-1e308 * 10|1e16|1e15|123456789.123|0.1 + 0.2|1e-5|0.0001|1.0|-0.0|100.0|1e100|5e-324
'ab' * 3|3 * 'ab'|'ab' * 0|'ab' * -1|[1, 2] * 2|2 * (1,)|'a' * 'b'|'a' * 1.5|[1] + [2]|(1,) + (2,)|[1] + (2,)|'a' + 'b'|'a' + 1|1 + 'a'|[1] - [1]|s + s|d + d|true + true|true * 'a'|1 - true|1.5 + 1|9223372036854775807|-9223372036854775807
"it's"|["it's"]|['"']|['\\'"']|['a\\nb\\tc\\\\']|['\\x00\\x1f\\x7f\\x80\\xa0\\xad']|['é日😀']|['\\u200b\\u2028\\ue000']|[1.0, none, true, 'x', (), {}, [[]]]|[uni]|{'é': 'ü'}|(nope,)|[s.upper]|uni[0]|uni[-1]|uni[::-1]|uni|length|uni[2:5]
""".strip()

FILTER_INPUTS = [
    "s", "empty", "padded", "uni", "html", "i", "neg", "f", "yes", "nil", "list", "words", "mixed", "d", "e", "l0", "nope",
    "range(4)", "(3, 1)", "d.items()", "users", "'42'", "' 3.9 '",
]
FILTERS = """
abs|attr('upper')|batch(2)|list|batch(2, 'x')|list|capitalize|center(14)|count|default('D')|default('D', true)|d|dictsort|dictsort(true)
dictsort(by='value')|dictsort(reverse=true)|e|escape|first|float|float(9)|format(1)|groupby('age')|indent|indent(2)|indent(2, true)
indent('> ', first=true, blank=true)|int|int(9)|int(base=16)|items|list|join|join(', ')|join(d='-')|join('-', 'name')|last|length|list|lower
map('upper')|list|map('string')|join('/')|map(attribute='name')|list|map(attribute='admin', default='?')|list|map(attribute=0)|list
map('nope')|list|map|map()|list|max|min|max(attribute='age')|min(true)|reject|list|reject('none')|list|rejectattr('admin')|list
rejectattr('age', 'gt', 25)|map(attribute='name')|list|replace('l', 'L')|replace(1, 2)|replace('o', '0', 1)|replace('l')|reverse|list|reverse|reverse|string
round|round(1)|round(-1)|round(method='ceil')|round(1, 'floor')|round(0, 'nope')|safe|select|list|select('string')|list|select('odd')|list|select('nope')|list
select('in', [1, 2, 'b'])|list|selectattr('admin')|list|selectattr('age', 'equalto', 30)|map(attribute='name')|list|selectattr('address.city', 'defined')|list|selectattr|list
slice(2)|list|slice(3, '-')|list|slice(0)|list|sort|sort(true)|sort(case_sensitive=true)|sort(attribute='name')|sort(attribute='age,name')|map(attribute='name')|list
sort(reverse=true, attribute='age')|map(attribute='name')|list|string|sum|sum(start=10)|sum('age')|sum(attribute='age', start=1)|title|tojson|tojson(indent=2)|tojson(sort_keys=true)
tojson(ensure_ascii=true)|tojson(separators=(',', ':'))|tojson(indent=4, sort_keys=true)|tojson(indent='--')|tojson(indent=0)|trim|trim('Hx ')|trim(none)|truncate(5)|truncate(5, true)|truncate(5, true, '', 0)
truncate(8, false, '!', 0)|truncate(1)|truncate|unique|list|unique(true)|list|unique(attribute='age')|map(attribute='name')|list|upper|wordcount|length(1)|upper(1)|default(1, 2, 3)|tojson(nope=1)|nosuch
""".strip()
TESTS = """
boolean|callable|defined|divisibleby 2|divisibleby(0)|eq 7|equalto('a')|even|false|filter|float|ge 2|gt 2|greaterthan 2|in [7, 'a']|integer|iterable|le 2|lower|lt 2
lessthan 2|mapping|ne 7|none|number|odd|sameas none|sameas true|sequence|string|test|true|undefined|upper|nosuch|string(1)|defined(1)|eq
""".strip()


def expression_cases():
    # A filter behind an expression is separated from it just as alternatives are: neighbours are tried alone and
    # together. Many pairs make no sense, which both sides must notice.
    for line in PRECEDENCE.splitlines():
        parts = line.split("|")
        for index, part in enumerate(parts):
            yield "{{ %s }}" % part
            if index + 1 < len(parts):
                yield "{{ %s|%s }}" % (part, parts[index + 1])
    filters = [part for line in FILTERS.splitlines() for part in line.split("|")]
    for value in FILTER_INPUTS:
        for index, name in enumerate(filters):
            yield "{{ %s|%s }}" % (value, name)
            if index + 1 < len(filters) and filters[index + 1] in ("list", "string", "join('/')", "reverse"):
                yield "{{ %s|%s|%s }}" % (value, name, filters[index + 1])
            if "attr" in name or name.startswith(("sort(", "unique(")):
                yield "{{ %s|%s|map(attribute='name')|list }}" % (value, name)
        for name in (part for line in TESTS.splitlines() for part in line.split("|")):
            yield "{{ %s is %s }}" % (value, name)
            yield "{{ %s is not %s }}" % (value, name)


# --- Statements ------------------------------------------------------------------------------------------

STATEMENTS = [
    "{% if i %}a{% endif %}", "{% if zero %}a{% elif no %}b{% elif yes %}c{% else %}d{% endif %}", "{% if nope %}a{% else %}b{% endif %}",
    "{% if i == 7 and s %}a{% endif %}", "{% if %}a{% endif %}", "{% if i %}a", "{% endif %}", "{% if i %}a{% else %}b{% else %}c{% endif %}",
    "{% for x in list %}{{ x }}{% endfor %}", "{% for x in l0 %}{{ x }}{% else %}none{% endfor %}", "{% for x in list %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in list if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}-{% endfor %}", "{% for x in list if x > 9 %}{{ x }}{% else %}-{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for (a, b) in [(1, 2), [3, 4]] %}{{ a }}{{ b }} {% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in list %}{{ a }}{% endfor %}", "{% for a, b in ['xy', 'zw'] %}{{ a }}-{{ b }} {% endfor %}", "{% for c in s %}{{ c }}.{% endfor %}", "{% for x in i %}{% endfor %}",
    "{% for x in nil %}{% endfor %}", "{% for x in nope %}a{% else %}b{% endfor %}", "{% for x in nope.y %}a{% endfor %}", "{% for x in range(3) %}{{ x }}{% endfor %}{{ x }}",
    "{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for x in list %}{{ loop.previtem.y }}{% endfor %}", "{% for x in list %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}",
    "{% for x in list %}{{ loop.cycle() }}{% endfor %}", "{% for x in list %}{{ loop.nope }}{% endfor %}", "{% for x in list %}{{ loop['index'] }}{% endfor %}",
    "{% for x in [[1, 2], [3]] %}{% for y in x %}{{ loop.index }}{{ y }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in list %}{% endfor %}{{ loop }}",
    "{% for x in list %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in list %}{% for y in list %}{% if y == x %}{% break %}{% endif %}{{ y }}{% endfor %};{% endfor %}", "{% break %}", "{% continue %}", "{% if i %}{% break %}{% endif %}",
    "{% for x in list %}{% else %}{% break %}{% endfor %}", "{% for x in list %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for loop in list %}{% endfor %}", "{% for x, in [[1]] %}{{ x }}{% endfor %}", "{% for x.y in list %}{% endfor %}", "{% for 1 in list %}{% endfor %}", "{% for true in list %}{% endfor %}",
    "{% for x in nested recursive %}[{{ loop.depth }}{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}{% endif %}]{% endfor %}",
    "{% for x in list %}{{ loop(list) }}{% endfor %}", "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}", "{% for x in list if x in (1, 2) recursive %}{{ x }}{% endfor %}",
    "{% for x in (list if i else l0) %}{{ x }}{% endfor %}", "{% for x in list if i else l0 %}{{ x }}{% endfor %}", "{% for x in messages[1:] %}{{ x.role }}{% endfor %}",
    "{% for m in messages|selectattr('role', 'equalto', 'user') %}{{ m.content }}|{{ loop.last }}{% endfor %}",
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set x, y = [1] %}{{ x }}", "{% set (x, y) = (1, 2) %}{{ y }}", "{% set x = 1, 2 %}{{ x }}", "{% set x %}a{{ i }}b{% endset %}{{ x }}",
    "{% set x | upper %}a{{ i }}b{% endset %}{{ x }}", "{% set x | upper | replace('A', 'z') %}ab{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}", "{% set x.y = 1 %}", "{% set d.a = 5 %}{{ d.a }}",
    "{% set true = 1 %}", "{% set x %}", "{% set %}", "{% set x = %}", "{% set 'a' = 1 %}", "{% set x = 1 %}{% set x = x + 1 %}{{ x }}", "{% set i = i + 1 %}{{ i }}", "{% set messages = messages[1:] %}{{ messages|length }}",
    "{% set x = 1 %}{% for y in list %}{{ x }}{% set x = y %}{{ x }} {% endfor %}{{ x }}", "{% set x = 1 %}{% if yes %}{% set x = 2 %}{% endif %}{{ x }}", "{% for y in list %}{% set z = y %}{% endfor %}{{ z }}",
    "{% set ns = namespace(a=0, b='x') %}{% for y in list %}{% set ns.a = ns.a + y %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}", "{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}{{ ns }}",
    "{% set ns = namespace(x=1) %}{% set ns.y %}block{% endset %}{{ ns.y }}", "{% set ns = namespace(items=[1]) %}{{ ns.items }}{{ ns['items'] }}", "{% set ns = namespace(a=1) %}{% set ns.a, x = 2, 3 %}{{ ns.a }}{{ x }}",
    "{% set ns = namespace(a=1) %}{% set m = ns %}{% set m.a = 2 %}{{ ns.a }}", "{% set ns = namespace(a=1) %}{{ ns is mapping }}{{ ns is iterable }}{{ ns is defined }}{{ ns.x is defined }}", "{% set ns.x = 1 %}",
    "{% macro m() %}a{% endmacro %}{{ m() }}{{ m() }}", "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }} {{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=2) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}{{ m(1) }}",
    "{% macro m(a) %}{{ a }}{{ kwargs }}{% endmacro %}{{ m(1, x=2) }}{{ m(1) }}", "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}",
    "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m() %}{{ i }}{% set i = 9 %}{{ i }}{% endmacro %}{{ m() }}{{ i }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}", "{% set x = 4 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}", "{{ m() }}{% macro m() %}a{% endmacro %}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% macro m() %}a{% endmacro %}{{ m.name }}{{ m.arguments }}",
    "{% macro m() %}  x  {% endmacro %}[{{ m() }}]{{ m()|trim }}{{ m() | length }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(m(m('q'))) }}", "{% macro m(x) -%}\n  {{ x }}\n{%- endmacro %}{{ m(1) }}", "{% macro m %}{% endmacro %}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{{ i }}{% endcall %}", "{% macro m(a) %}<{{ caller(a, 2) }}>{% endmacro %}{% call(x, y=3) m(1) %}{{ x }}{{ y }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m(caller=none) %}{{ caller }}{% endmacro %}{{ m() }}", "{% call i %}{% endcall %}", "{% call nope() %}x{% endcall %}",
    "{% macro o() %}({{ caller() }}){% endmacro %}{% macro p() %}{% call o() %}{{ caller() }}{% endcall %}{% endmacro %}{% call p() %}deep{% endcall %}", "{% set x = 1 %}{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ x }}{% set x = 2 %}{% endcall %}{{ x }}",
    "{% for x in list %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% for x in list %}{% macro m() %}q{% endmacro %}{% endfor %}{{ m is defined }}", "{% if yes %}{% macro m() %}q{% endmacro %}{% endif %}{{ m() }}",
    "{% filter upper %}a{{ s }}b{% endfilter %}", "{% filter replace('a', 'x') | upper %}abc{% endfilter %}", "{% filter trim %}  x  {% endfilter %}", "{% filter nosuch %}x{% endfilter %}", "{% filter upper %}{% set q = 1 %}{% endfilter %}{{ q }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% with i = i + 1 %}{{ i }}{% endwith %}{{ i }}", "{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% block x %}a{{ i }}{% endblock %}", "{% block x %}a{% endblock x %}", "{% block x %}{% endblock y %}", "{% block x %}{% endblock %}{% block x %}{% endblock %}", "{% for x in list %}{% block b %}{{ x }}{% endblock %}{% endfor %}", "{% for x in list %}{% block b scoped %}{{ x }}{% endblock %}{% endfor %}",
    "{% set q = 1 %}{% block b %}{{ q }}{% set q = 2 %}{% endblock %}{{ q }}", "{% block outer %}[{% block inner %}x{% endblock %}]{% endblock %}", "{% macro m() %}M{% endmacro %}{% block b %}{{ m() }}{% endblock %}",
    "{% generation %}a{{ i }}{% endgeneration %}", "{% for x in list %}{% generation %}{{ x }}{% set y = x %}{% endgeneration %}{{ y }}{% endfor %}", "{% for x in list %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% generation %}a",
    "{% print i, s %}", "{% print %}", "{% raw %}{{ i }}{% if %}{% endraw %}", "{% raw %}a", "{% raw %} {# x #} {%- endraw -%} b", "{%- raw -%}  x  {%- endraw -%}", "a\n  {% raw %}\n b\n  {% endraw %}\nc", "{# comment #}a", "{# a", "{#- x -#} b", "a {#- x #} b", "{# {{ i }} {% if %} #}x", "{##}y",
    "{% do x %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% nosuch %}", "{% %}", "{{ }}", "{{ i", "{% if i", "{{ i } }", "{{ (i }}", "{{ i) }}", "{{ [1, 2 }}", "{{ {'a': 1 }}", "{{ {'a': {'b': 1}} }}", "{{ 'a }}", "{{ i ! }}", "{{ i $ }}", "{{ i; }}", "{{ i. }}", "{{ i.'a' }}", "{{ i[ }}", "{{ i[] }}", "{{ i | }}", "{{ | upper }}", "{{ i is }}", "{{ i if }}", "{{ if }}", "{{ for }}", "{{ in }}", "{{ not }}", "{{ and }}", "{{ 1 2 }}", "{{ i i }}", "{{ 'a' i }}", "{{ f(a=1, 2) }}", "{{ f(*a, 1) }}", "{{ f(**a, *b) }}", "{{ f(,) }}", "{{ [,] }}", "{{ {,} }}", "{{ {1} }}", "{{ (,) }}",
    "}} %} #}", "{ { i } }", "{{{ i }}}", "{{ '}}' }}", "{{ '{{' }}", "{% if '%}' %}x{% endif %}", "{{ \"a\" ~ 'b' }}", "{{ 'a\nb' }}", "{{\n i\n}}", "{{i}}", "{{-i-}}", "{{ -i }}", "{{- -i -}}", "{{+i}}", "{%if i%}x{%endif%}", "a{{ i }}b{{ s }}c", "", "\n", "a\n", "a\n\n", "\n\na", "a\r\nb\rc\r\n", "{{ i }}\n", "{{ i }}\n\n", "{{ 'a\r\nb' }}",
    "{% if nope is defined and nope.x %}a{% else %}b{% endif %}", "{% if false %}{{ i|nosuch }}{% endif %}ok", "{% if true %}{{ i|nosuch }}{% endif %}", "{{ i|nosuch if false else 'ok' }}", "{% for x in l0 %}{{ i|nosuch }}{% endfor %}ok", "{% if false %}{% for x in l0 %}{{ x|nosuch }}{% endfor %}{% endif %}ok", "{% if false %}{{ i is nosuch }}{% endif %}ok", "{{ 'x' if i is nosuch else 'y' }}", "{% macro m() %}{{ i|nosuch }}{% endmacro %}ok",
    "{% set it = list|map('string') %}{{ it|list }}{{ it|list }}", "{% set it = list|map('string') %}{{ it|first }}{{ it|list }}", "{% if l0|map('upper') %}truthy{% endif %}", "{% set it = list|select('odd') %}{% for x in it %}{{ x }}{% endfor %}{% for x in it %}{{ x }}{% endfor %}", "{% set it = d.items() %}{{ it|list }}{{ it|list }}", "{% set it = words|reverse %}{{ it|join }}{{ it|join }}", "{{ (list|map('string'))[0] }}", "{{ list|map('string')|length }}", "{{ 1 in list|select('odd') }}", "{% set x = list|map('nosuch') %}fine", "{% set x = nil|map('upper') %}{{ x|list }}", "{% set x = i|map('upper') %}{{ x|list }}",
]

WHITESPACE_PIECES = ["", " ", "\n", "  \n  ", "x", " x ", "\n x\n ", "\t"]
WHITESPACE_TAGS = [
    ("{% if i %}", "{% endif %}"), ("{%- if i %}", "{% endif -%}"), ("{% if i -%}", "{%- endif %}"), ("{%- if i -%}", "{%- endif -%}"), ("{%+ if i %}", "{% endif +%}"), ("{% if i +%}", "{%+ endif %}"),
    ("{{ i }}", "{{ s }}"), ("{{- i }}", "{{ s -}}"), ("{{ i -}}", "{{- s }}"), ("{# c #}", "{#- c -#}"), ("{#- c #}", "{# c -#}"), ("{#+ c +#}", "{# c #}"), ("{% raw %}", "{% endraw %}"), ("{%- raw -%}", "{%- endraw -%}"), ("{% raw -%}", "{%+ endraw +%}"),
    ("{% set x = 1 %}", "{% set y = 2 -%}"), ("{% for q in list %}", "{% endfor %}"), ("{%- for q in list -%}", "{%- endfor -%}"),
]


def whitespace_cases():
    for opener, closer in WHITESPACE_TAGS:
        for before in WHITESPACE_PIECES:
            for inside in WHITESPACE_PIECES:
                yield before + opener + inside + closer + "\n z"
                yield "a" + before + opener + "\n" + inside + closer + before + "\n"


# --- Random templates ------------------------------------------------------------------------------------

class Generator:
    """Templates that are mostly well typed: an error ends a rendering, and tells little."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        choice = self.random.choice(choices)
        return choice() if callable(choice) else choice

    def text(self, depth):
        r = self.random
        if depth <= 0:
            return self.pick("s", "empty", "padded", "uni", "quoted", "lines", "html", "'a'", "'x y'", "''", "'\\n'", "messages[0].content", "nope")
        t, n, l = (lambda: self.text(depth - 1)), (lambda: self.number(depth - 1)), (lambda: self.sequence(depth - 1))
        return self.pick(
            lambda: f"{t()} ~ {self.any(depth - 1)}", lambda: f"({t()} + {t()})", lambda: f"({t()})[({n()})|int:]", lambda: f"({t()})[:({n()})|int]", lambda: f"({t()})[::-1]",
            lambda: f"({t()}).{r.choice(['upper', 'lower', 'strip', 'title', 'capitalize', 'swapcase', 'lstrip', 'rstrip'])}()",
            lambda: f"({t()})|{r.choice(['upper', 'lower', 'trim', 'title', 'capitalize', 'e', 'reverse', 'string', 'indent', 'safe', 'tojson', 'first', 'last'])}",
            lambda: f"({t()}).replace({t()}, {t()})", lambda: f"({t()})|replace({t()}, {t()})", lambda: f"({t()} if {self.truth(depth - 1)} else {t()})", lambda: f"({l()})|join({t()})",
            lambda: f"({t()}).split({r.choice(['', '` `', '`o`', '`l`, 1'])})[{r.choice(['0', '-1', '1'])}]".replace("`", "'"), lambda: f"({self.any(depth - 1)})|string", lambda: f"({self.any(depth - 1)})|tojson",
            lambda: f"'%s-%s' % ({self.any(depth - 1)}, {n()})", lambda: f"'{{}}:{{:>4}}'.format({t()}, {n()})", lambda: f"({t()}) * {r.choice(['0', '1', '2', '3'])}", lambda: f"({t()}).strip({t()})", lambda: f"({t()})|truncate({r.choice(['3', '5', '9'])}, {r.choice(['true', 'false'])}, '..', 0)",
            lambda: f"({t()}).center({r.choice(['5', '12', '13'])}, '*')", lambda: f"({t()})|default({t()}, true)")

    def number(self, depth):
        r = self.random
        if depth <= 0:
            return self.pick("i", "neg", "zero", "f", "1", "2", "-1", "3", "0.5", "yes", "list[0]", "users[1].age")
        n = lambda: self.number(depth - 1)
        return self.pick(
            lambda: f"({n()} {r.choice(['+', '-', '*', '/', '//', '%'])} {n()})", lambda: f"({self.text(depth - 1)})|length", lambda: f"({self.sequence(depth - 1)})|length",
            lambda: f"({n()})|{r.choice(['abs', 'int', 'float', 'round', 'round(1)'])}", lambda: f"({self.text(depth - 1)})|int", lambda: f"({self.text(depth - 1)}).{r.choice(['find', 'count', 'rfind'])}({self.text(0)})", lambda: f"-({n()})",
            lambda: f"({n()} if {self.truth(depth - 1)} else {n()})", lambda: "[%s, %s]|%s" % (n(), n(), r.choice(["sum", "max", "min", "first", "last"])))

    def truth(self, depth):
        r = self.random
        if depth <= 0:
            return self.pick("yes", "no", "nil", "nope", "i", "zero", "empty", "l0", "s")
        b, a = (lambda: self.truth(depth - 1)), (lambda: self.any(depth - 1))
        return self.pick(
            lambda: f"({b()} {r.choice(['and', 'or'])} {b()})", lambda: f"(not {b()})", lambda: f"({a()} {r.choice(['==', '!='])} {a()})", lambda: f"({self.number(depth - 1)} {r.choice(['<', '<=', '>', '>='])} {self.number(depth - 1)})",
            lambda: f"({self.text(depth - 1)} in {self.text(depth - 1)})", lambda: f"({a()} {r.choice(['in', 'not in'])} {self.sequence(depth - 1)})",
            lambda: f"(({a()}) is {r.choice(['', 'not '])}{r.choice(['defined', 'none', 'string', 'number', 'mapping', 'iterable', 'sequence', 'undefined', 'integer', 'float', 'boolean', 'true', 'false', 'upper', 'lower'])})",
            lambda: f"(({self.text(depth - 1)}).{r.choice(['startswith', 'endswith'])}({self.text(0)}))", lambda: f"({self.text(depth - 1)} < {self.text(depth - 1)})")

    def sequence(self, depth):
        r = self.random
        if depth <= 0:
            return self.pick("list", "words", "mixed", "l0", "[1, 'a']", "range(3)", "(1, 2)", "users|map(attribute='name')|list", "nested", "d", "d.items()", "d.values()")
        l, a = (lambda: self.sequence(depth - 1)), (lambda: self.any(depth - 1))
        return self.pick(
            lambda: f"[{a()}, {a()}]", lambda: f"({a()},)", lambda: f"({l()})|list", lambda: f"(({l()})|list)[{self.pick('1', '-1', '0')}:]", lambda: f"(({l()})|list)[::-1]", lambda: f"({l()})|reverse|list", lambda: f"({self.text(depth - 1)}).split({r.choice(['', chr(39) + ' ' + chr(39)])})",
            lambda: f"({l()})|{r.choice(['map', 'map'])}('{r.choice(['string', 'upper', 'tojson', 'length', 'list'])}')|list", lambda: f"({l()})|{r.choice(['select', 'reject'])}('{r.choice(['string', 'none', 'number', 'defined', 'true'])}')|list", lambda: f"({l()})|{r.choice(['select', 'reject'])}|list",
            lambda: f"(({l()})|list + ({l()})|list)", lambda: f"({l()})|batch(2)|list", lambda: f"({l()})|unique|list", lambda: f"({l()})|sort", lambda: f"({{'k': {a()}, 'j': {a()}}})|dictsort", lambda: f"({l()})|slice(2)|list", lambda: f"({self.text(depth - 1)}).partition(' ')", lambda: f"({self.text(depth - 1)}).splitlines()")

    def any(self, depth):
        return self.pick(lambda: self.text(depth), lambda: self.number(depth), lambda: self.truth(depth), lambda: self.sequence(depth), lambda: "{'q': %s}" % self.text(depth - 1), lambda: self.pick("d", "nil", "users", "nope", "d.a", "messages[-1]['role']"))

    def blank(self):
        return self.pick("", "", " ", "\n", "\n  ", "  \n", " x ", "\t\n", "text\n")

    def tag(self, body):
        return "{%%%s %s %s%%}" % (self.pick("", "", "-", "+"), body, self.pick("", "", "-", "+"))

    def printed(self, expression):
        return "{{%s %s %s}}" % (self.pick("", "", "-"), expression, self.pick("", "", "-"))

    def statement(self, depth):
        r = self.random
        name = r.choice("xyz")
        body = lambda: self.body(depth - 1)
        if depth <= 0:
            return self.pick(lambda: self.printed(self.any(1)), lambda: self.printed(name), lambda: self.tag(f"set {name} = {self.any(1)}"), lambda: "{#%s c %s#}" % (self.pick("", "-"), self.pick("", "-")))
        return self.pick(
            lambda: self.tag(f"if {self.truth(1)}") + body() + self.tag("endif"), lambda: self.tag(f"if {self.truth(1)}") + body() + self.tag(f"elif {self.truth(1)}") + body() + self.tag("else") + body() + self.tag("endif"),
            lambda: self.tag(f"for {name} in {self.sequence(1)}") + body() + self.pick("", lambda: self.printed(r.choice(["loop.index", "loop.last", "loop.first", "loop.index0", "loop.length", "loop.previtem", "loop.nextitem"]))) + self.tag("endfor"),
            lambda: self.tag(f"for {name} in {self.sequence(1)} if {name} is {r.choice(['string', 'number', 'defined', 'iterable'])}") + body() + self.tag("else") + body() + self.tag("endfor"),
            lambda: self.tag(f"for {name} in {self.sequence(1)}") + self.tag(f"if loop.index == 2") + self.tag(r.choice(["break", "continue"])) + self.tag("endif") + body() + self.tag("endfor"),
            lambda: self.tag(f"set {name}") + body() + self.tag("endset") + self.printed(name), lambda: self.tag(f"macro m(x, y={self.number(0)})") + body() + self.tag("endmacro") + self.printed(f"m({self.any(1)})") + self.printed(f"m(y={self.any(1)}, x=1)"),
            lambda: self.tag("macro m(x)") + body() + "{{ caller(x) }}" + self.tag("endmacro") + self.tag(f"call(z) m({self.any(1)})") + body() + self.tag("endcall"), lambda: self.tag(f"filter {r.choice(['upper', 'trim', 'title', 'indent(2, true)', 'replace(chr, 2)'.replace('chr', chr(39) + 'e' + chr(39))])}") + body() + self.tag("endfilter"),
            lambda: self.tag(f"with {name} = {self.any(1)}") + body() + self.tag("endwith"), lambda: self.tag("set ns = namespace(v=0)") + self.tag(f"for {name} in {self.sequence(0)}") + self.tag("set ns.v = ns.v + 1") + body() + self.tag("endfor") + self.printed("ns.v"),
            lambda: self.tag("generation") + body() + self.tag("endgeneration"), lambda: self.tag("raw") + self.blank() + "{{ x }}" + self.tag("endraw"), lambda: self.statement(0))

    def body(self, depth):
        return self.blank() + "".join(self.statement(depth) + self.blank() for _ in range(self.random.randint(1, 3)))


def random_cases():
    generator = Generator(20240706)
    kept = {"ok": 0, "error": 0}
    result = {}
    while kept["ok"] < 2200 or kept["error"] < 300:
        template = generator.pick(lambda: "{{ %s }}" % generator.any(generator.pick(1, 2, 3)), lambda: generator.body(generator.pick(1, 2)))
        if len(template) > 400 or template in result:
            continue
        output = run(template)
        kind = "error" if isinstance(output, dict) else "ok"
        if not is_portable(output) or kept[kind] >= (300 if kind == "error" else 2200):
            continue
        kept[kind] += 1
        result[template] = output
    return [[template, output] for template, output in result.items()]


# --- Families --------------------------------------------------------------------------------------------

def family_cases():
    conversations = json.loads((ROOT / "conversations.json").read_text(encoding="utf-8"))
    configuration = json.loads((ROOT.parent / "demo/tokenizer_config.json").read_text(encoding="utf-8"))
    templates = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "families").glob("*.jinja"))}
    templates["demo"] = configuration["chat_template"]
    return [
        {"template": name, "conversation": conversation["name"], "output": run(source, conversation["variables"])}
        for name, source in templates.items()
        for conversation in conversations
    ]


if __name__ == "__main__":
    write("context.json", CONTEXT)
    write("operators.json", cases(operator_cases()))
    write("expressions.json", cases(expression_cases()))
    write("statements.json", cases(STATEMENTS))
    write("whitespace.json", cases(whitespace_cases()))
    write("random.json", random_cases())
    if (ROOT / "conversations.json").exists():
        write("families.json", family_cases())
