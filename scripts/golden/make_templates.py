#!/usr/bin/env python3
"""Chat templates and expressions as jinja2 renders them in transformers' environment, for Tests/MartletTextTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install jinja2==3.1.6
    /tmp/golden/bin/python scripts/golden/make_templates.py

The templates beside this script are written for these tests: each prints the format of a family of models. Running the
script twice gives the same file.
"""
import itertools
import json
import pathlib
import datetime

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "Tests" / "MartletTextTests" / "Golden"
NOW = 1_790_000_000  # a fixed time, in UTC


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda text: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(text)
    return env


ENV = environment()


def outcome(source, context):
    try:
        return {"text": ENV.from_string(source).render(**context)}
    except Exception as error:  # what kind it is does not matter: Martlet must refuse as well
        return {"fails": type(error).__name__}


def tool(name, description, properties, required):
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }


WEATHER = tool(
    "get_weather", "The weather of a place,\nnow or later <b>&</b> 'so'.",
    {
        "place": {"type": "string", "description": "a town, e.g. Zürich or 東京"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "days": {"type": ["integer", "null"], "minimum": 0, "maximum": 1e21},
    },
    ["place"],
)
SEARCH = tool(
    "search", "Looks it up.",
    {"terms": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
     "filter": {"type": "object", "properties": {"after": {"type": "number"}, "deep": {"type": "boolean", "default": False}},
                "required": ["after"]}},
    [],
)


def call(name, arguments, id="call12345"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "  Hello, “wörld” 👋🏽\n<tag> & \"quotes\" 'here' \\ \t "}
SYSTEM = {"role": "system", "content": " Be kind.\n"}
ANSWER = {"role": "assistant", "content": " Hi!\n\n"}
THINKING = {"role": "assistant", "content": "<think>\nIt is a greeting.\n</think>\n\nHi there"}
CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [USER, ANSWER, {"role": "user", "content": "Again?"}],
    "system turns": [SYSTEM, USER, ANSWER, {"role": "user", "content": "Once more"}, THINKING],
    "thinking": [USER, THINKING, {"role": "user", "content": "And?"},
                 {"role": "assistant", "content": "Yes.", "reasoning_content": "\nMust agree.\n"}],
    "call": [SYSTEM, USER, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"place": "Zürich", "days": 2})]},
             {"role": "tool", "tool_call_id": "call12345", "name": "get_weather", "content": "{\"sky\": \"blue\"}"}],
    "calls": [USER, {"role": "assistant", "content": None, "tool_calls": [
                  call("get_weather", {"place": "Oslo", "unit": None}), call("search", {"terms": [["a", "b"], []], "filter": {"after": 1.5}}, "call67890")]},
              {"role": "tool", "tool_call_id": "call12345", "content": "rain"},
              {"role": "tool", "tool_call_id": "call67890", "content": "nothing"},
              {"role": "assistant", "content": "It rains."}, {"role": "user", "content": "Thanks"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "image"}, {"type": "text", "text": "this?"}]}],
    "wrong order": [ANSWER, USER, USER],
    "unknown role": [{"role": "wizard", "content": "zap"}],
    "nothing": [],
}

EXPRESSIONS = """
1 + 2 * 3 - 4 // 3 % 2|7 // -2|-7 // 2|-7 % 3|7 % -3|7.5 // 2|-7.5 % 2|2 ** 10|2 ** -1|-2 ** 2|2 ** 3 ** 2|1 / 4|6 / 3
9007199254740993 + 0|1e16|1e15|123456789012345678.0|1e-4|1e-5|0.1 + 0.2|1e100|-0.0|1e22|5e-324|1.5e300 * 1e10|100.0|3.0e0|1_000 + 0x1F + 0b101 + 0o17
true and 1|0 or 'x'|not 0|not not 1|none or false|1 if true|1 if false|1 if 0 else 2 if 0 else 3|(1 if false) is defined
1 < 2 < 3|1 < 3 < 2|'a' < 'b'|'Z' < 'a'|[1, 2] < [1, 3]|1 == 1.0|1 == true|'1' == 1|none == false|(1, 2) == [1, 2]|{'a': 1} == {'a': 1.0}|1 != 2|'é' == 'e\\u0301'
'b' in 'abc'|'' in 'abc'|2 in [1, 2]|'k' in {'k': 0}|3 not in [1]|'x' in missing|1 in (1,)
'a' ~ 1 ~ none ~ true ~ 2.0 ~ [1, 'b'] ~ {'c': none}|'a' 'b' "c"|'ab' * 3|3 * 'ab'|[1] * 3|'x' * -1|[1] + [2]|(1,) + (2,)
'%s is %d and %.2f%%' % ('x', 3, 2.5)|'%5d|%-5d|%05d|%+d' % (42, 42, 42, 42)|'%r' % 'it'|'%x' % 255|'%s' % none|'%10s|%-10s|' % ('a', 'b')
[1, 'a', none, true, 1.5, {'k': [()]}, (1,), (1, 2)]|'it\\'s'|["it's", 'say "x"', 'both \\' and "']|['\\n\\t\\\\', 'é', '\\u200b', '\\x7f', '\\U0001F600']|{}|[]|()|{1: 2, none: 3, true: 4}
s[0]|s[-1]|s[99] is defined|s[1:3]|s[::-1]|s[::2]|s[-3:]|s[:-3]|s[5:1:-1]|s[10:]|l[1:]|l[:-1]|l[::-1]|l[-2:]|l[1:100:2]|l[-100:2]|(1, 2, 3)[1:]|l[5] is defined|d.b.c[1][1:]|d.b.c[2][:2]|d.b.c[3][::2]|(l | length)[:]|d[1:]|missing[1:]|(l | map('string'))[1:]|l[true]
d.a|d['a']|d.missing is defined|d.get('a')|d.get('zz')|d.get('zz', 5)|d.items() | list|d.keys() | list|d.values() | list|d | length|d | items | list|d.b.c[0]|d['b']['c'][1]
missing|missing.x|missing['x']|missing is defined|missing is undefined|missing == missing|missing ~ 'x'|missing + 1|missing | length|missing | default('d')|'' | default('d')|'' | default('d', true)|none | default('d')|missing | list|missing is none|missing is iterable|missing is string|missing()
s.upper()|s.lower()|s.title()|s.capitalize()|s.swapcase()|s.strip()|' x '.lstrip()|' x '.rstrip()|'xxaxx'.strip('x')|'xyaxy'.lstrip('xy')|s.split()|s.split('o')|s.split('o', 1)|s.rsplit('o', 1)|'a,b,,c'.split(',')|' a  b '.split()|' a  b c '.split(none, 1)|' a  b c '.rsplit(none, 1)|'a\\nb\\r\\nc'.splitlines()|'a\\nb\\n'.splitlines(true)
s.startswith('He')|s.startswith(('x', 'H'))|s.endswith('d!')|s.replace('o', '0')|s.replace('o', '0', 1)|'ab'.replace('', '-')|s.find('o')|s.find('zz')|s.rfind('o')|s.index('w')|s.index('zz')|s.count('o')|s.find('o', 5)|'aaaa'.count('aa')|'éaé'.rfind('é')|'-'.join(['a', 'b'])|'-'.join([1])|','.join('abc')
'12'.isdigit()|'1a'.isdigit()|'ab'.isalpha()|'a1'.isalnum()|' '.isspace()|''.isspace()|'AB'.isupper()|'ab'.islower()|'a=b=c'.partition('=')|'a=b=c'.rpartition('=')|'abc'.partition('x')|'7'.zfill(3)|'-7'.zfill(4)|'a'.ljust(3) ~ '|'|'a'.rjust(3)|'a'.center(4) ~ '|'|'abc'.removeprefix('a')|'abc'.removesuffix('c')|'abc'.removesuffix('x')|"they're bill's".title()|'ǆabc'.capitalize()|'straße'.upper()
s | upper|s | lower|s | title|'hello-wORLD (foo [bar' | title|s | capitalize|'  x ' | trim|'xxax' | trim('x')|s | length|s | first|s | last|s | list | length|s | reverse|s | replace('l', 'L')|s | replace('l', 'L', 1)|12 | replace('1', 'x')|s | wordcount|'a' | center(5) ~ '|'
l | join|l | join(', ')|objs | join(', ', attribute='n')|l | first|l | last|[] | first is defined|[] | last is defined|l | length|l | count|l | reverse | list|l | sort|[3, 1, 2] | sort(reverse=true)|['b', 'A', 'c', 'B'] | sort|['b', 'A', 'c', 'B'] | sort(case_sensitive=true)|objs | sort(attribute='n') | map(attribute='n') | list|objs | sort(attribute='g,n') | map(attribute='n') | list|objs | sort(attribute='zz') | map(attribute='n') | list|[none, none] | sort|[none, 1] | sort|[{'a': none}, {'a': none}] | sort(attribute='a')|[d, d] | sort|[1, 'a'] | sort
l | unique | list|['a', 'A', 'b'] | unique | list|['a', 'A'] | unique(true) | list|l | min|l | max|[] | min is defined|['b', 'A'] | min|['b', 'a', 'C'] | max|objs | max(attribute='n')|[1, 2, 3] | sum|objs | sum(attribute='n')|[1.5] | sum(start=1)|[[1], [2]] | sum(start=[])
l | map('string') | list|['a', 'b'] | map('upper') | join|objs | map(attribute='n') | list|objs | map(attribute='zz') | list | length|objs | map(attribute='zz', default='-') | list|objs | map(attribute='sub.0') | list|l | select | list|l | select('odd') | list|l | reject('odd') | list|l | select('gt', 2) | list|objs | selectattr('on') | map(attribute='n') | list|objs | selectattr('g', 'equalto', 'x') | map(attribute='n') | list|objs | rejectattr('on') | map(attribute='n') | list|objs | rejectattr('g', 'in', ['x']) | map(attribute='n') | list|['a', 'b'] | map('replace', 'a', 'z') | list
(l | select('odd')) | length|true if [] | select else false|[1, 2] | map('string')| first|l | batch(2) | list|l | batch(3, '-') | list|l | slice(2) | list|l | slice(3, 'x') | list|objs | groupby('g') | map('first') | list|objs | groupby('g') | map('last') | map('length') | list|d | dictsort|{'b': 1, 'A': 2} | dictsort|{'b': 1, 'A': 2} | dictsort(true)|{'b': 1, 'a': 2} | dictsort(by='value')|{'b': 1, 'a': 2} | dictsort(reverse=true)
'12' | int|'x' | int|'x' | int(7)|'12.9' | int|'0x1A' | int(base=16)|'101' | int(base=2)|12.7 | int|-12.7 | int|true | int|none | int|' 42 ' | int|'1_000' | int|'1.5' | float|'x' | float|'x' | float(2.5)|'1e3' | float|'inf' | float|3 | float|-3 | abs|-3.5 | abs|'a' | abs
42.55 | round|42.5 | round|43.5 | round|42.55 | round(1)|2.675 | round(2)|42.55 | round(1, 'floor')|42.55 | round(1, 'ceil')|42 | round|1234 | round(-2)|42.55 | round | int|-0.5 | round|1e20 | round
d | tojson|l | tojson|s | tojson|none | tojson|true | tojson|1.0 | tojson|1e100 | tojson|'<a href="x">&\\'' | tojson|'\\u2028é\\x01\\x7f😀' | tojson|'é😀\\x7f' | tojson(ensure_ascii=true)|d | tojson(indent=2)|d | tojson(indent=4)|[] | tojson(indent=2)|{} | tojson(indent=2)|[[], {}] | tojson(indent=1)|d | tojson(separators=(',', ':'))|{'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true)|{1: 'a', none: 'b', true: 'c', 1.5: 'd'} | tojson|(1, 2) | tojson|missing | tojson|d | tojson(indent=0)
'<a> & "b" \\'c\\'' | escape|'<a>' | e|'<a>' | safe|1 | string | length|'a\\nb\\n\\nc' | indent|'a\\nb' | indent(2)|'a\\nb' | indent(2, true)|'a\\n\\nb' | indent(2, false, true)|'a\\nb' | indent('> ')|'x %s' | format('y')|d | attr('a') is defined
1 is odd|2 is even|9 is divisibleby 3|9 is divisibleby(2)|1 is number|1.0 is float|1 is float|1 is integer|true is integer|true is number|true is boolean|1 is boolean|'a' is string|none is none|d is mapping|l is sequence|d is sequence|s is sequence|1 is iterable|s is iterable|l is iterable|range is callable|1 is callable|'a' is lower|'A' is upper|1 is sameas 1|none is sameas none|1 is eq 1|1 is ne 2|2 is gt 1|1 is lt 2|1 is ge 1|1 is le 0|1 is in [1]|1 is not in [1]|1 is not odd|true is true|false is false|1 is true|'x' is nosuchtest|x is test
range(3) | list|range(1, 4) | list|range(5, 0, -2) | list|range(0) | list|range(10 ** 9)|range(1, 2, 0)|range(3) | join|dict(a=1, b='x')|dict({'a': 1}, b=2)|dict([('a', 1)])|namespace(a=1).a|namespace(a=1).b is defined|cycler('a', 'b').next()|joiner(', ')()
9223372036854775807|-9223372036854775807|'a' + 1|1 + 'a'|[] + ()|{} + {}|none + 1|'a' - 'b'|1 / 0|1 // 0|1 % 0|-'a'|nosuch | nosuchfilter|''.__class__|''.__class__.__mro__|l.__class__ is defined|d.__init__|l.append(1)|d.update({})|d.pop('a')|l.sort()|s.nosuch()|1()|s['upper']()|d['items']() | list|range.__call__
{'a': 1}.a|{'items': 5}['items']|[1, 2].0|[1, 2, 3][-1]|'abc'[1]|[[1, 2], [3]][0][1]|{'a': {'b': 2}}.a.b|(1, 2)[0]|{'a': 1}['b'] is undefined|[{'a': 1}][0].a|{'a': 1,}|[1,]|(1,)|-1 | abs|-(1 | abs)|1 + 1 | string|'a' ~ 'b' | upper|('a' ~ 'b') | upper|not 'a' in 'b'|1 if 'a' is string and 1 is odd or 0 else 2|'a' is string == true|1 in [1] == true
"""

BLOCKS = [
    "{% for x in l %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
    "{% for x in l if x is odd %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}",
    "{% for x in l if x > 99 %}a{% else %}none left{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for c in 'héy' %}[{{ c }}]{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x // 2) }}{% endfor %}",
    "{% for x in l %}{% if x == 2 %}{% continue %}{% elif x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ x }}{% break %}{% else %}broken at once{% endfor %}",
    "{% for x in l %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% else %}broken later{% endfor %}",
    "{% for x in l %}{% continue %}{% else %}no whole pass{% endfor %}",
    "{% for x in l %}{% if x < 5 %}{% continue %}{% endif %}{{ x }}{% else %}one whole pass{% endfor %}",
    "{% for x in l %}{% for y in l %}{% break %}{% else %}{% break %}{% endfor %}{{ x }}{% else %}out{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in missing %}a{% else %}b{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0, f=false) %}{% for i in l %}{% set ns.n = ns.n + i %}{% set ns.f = true %}{% endfor %}{{ ns.n }}{{ ns.f }}",
    "{% set d.a = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set t = 1, 2 %}{{ t }}",
    "{% set a %}x {{ s }} y{% endset %}[{{ a }}]",
    "{% set a | upper | trim %} x {{ s }} {% endset %}[{{ a }}]",
    "{% if false %}a{% elif 1 %}b{% else %}c{% endif %}",
    "{% if true %}{% set y = 3 %}{% endif %}{{ y }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}abc{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}",
    "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, c='z') }}|{{ m(b=5, a=1) }}|{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% macro m() %}{{ outer }}{% endmacro %}{% set outer = 7 %}{{ m() }}",
    "{% macro m() %}{{ i }}{% endmacro %}{% for i in [1, 2] %}{{ m() }}{% endfor %}",
    "{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in {{ s }}{% endcall %}",
    "{% macro m() %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) m() %}<{{ x }}>{% endcall %}",
    "{% macro m(a, b) %}{{ a }}-{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% if varargs %}more{% endif %}{% endmacro %}{{ m(1) }}{{ varargs is defined }}",
    "{% macro m(kwargs) %}{{ kwargs }}{{ caller is defined }}{% endmacro %}{{ m(1) }}",
    "{% macro m(x) %}{{ x | length }}{% endmacro %}{{ m('abc') + '!' }}{{ m('ab') | int + 1 }}",
    "{% generation %}abc{{ s }}{% endgeneration %}",
    "{% raw %}{{ x }}{% if %}{% endraw %}",
    "a\n{% raw %}\n  b\n{% endraw %}\nc",
    "a\n  {%- raw -%}\n  b\n  {%- endraw -%}\nc",
    "a {# comment #} b\n{# line #}\nc\n  {# indented #}\nd {#- tight -#} e",
    "a\n  {% if true %}\n    b\n  {% endif %}\nc\n",
    "a\n  {%+ if true %}\n    b\n  {%+ endif %}\nc\n\n",
    "a\n  {% if true +%}\n    b\n  {% endif +%}\nc",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "a  {{- 1 -}}  b\n{{ 2 }}\nc {{ 3 }}\n",
    "  {% set x = 1 %}  {% set y = 2 %}\n x",
    "x {% if true %}y{% endif %}\n\n{% if true %}\nz{% endif %}",
    "\t{% if true %}\t{% if true %}\nq{% endif %}{% endif %}\r\nw\rv",
    "{{ 'a\nb' }}\n{{ \"c\\nd\" }}",
    "{{ {'a': {'b': 1}}['a']['b'] }}{{ {'x': '}}'} }}",
    "{{ '%}' }}{% set a = '%}' %}{{ a }}{{ '{{' }}",
    "{{ 1 -}} \n {{- 2 }}",
    "{{+ 1 }}{{ -1 }}{{-1}}",
    "{{ range(3) | map('string') | join('-') }}{%- for i in range(3) -%} {{ i }} {%- endfor -%}",
    "{{ strftime_now('%Y-%m-%d %H:%M %d %B') }}",
    "{{ raise_exception('no: ' ~ s) }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set j = joiner('|') %}{{ j() }}x{{ j() }}y",
    "{% if x is defined and x.y is defined %}a{% else %}b{% endif %}",
    "{% set x = l | map(attribute='zz') %}{% for a in x %}{{ a }}.{% endfor %}{% for a in x %}again{% endfor %}",
    "{{ loop is defined }}{% for a in [1] %}{% for b in [1, 2] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% set messages = l[1:] %}{{ messages }}{% for m in messages %}{% set messages = [] %}{{ m }}{% endfor %}{{ messages }}",
    "{% if %}x{% endif %}", "{{ }}", "{{ 1 + }}", "{% for %}", "{% endif %}", "{% if true %}", "{{ 'a }}", "{# x", "{{ a b }}",
    "{% nosuch %}", "{{ (1 }}", "{{ [1 }}", "{{ 1) }}", "{% set %}", "{% set 1 = 2 %}", "{{ a..b }}", "{{ a | }}", "{{ x is }}", "{% break %}",
    "{% macro %}{% endmacro %}", "{{ f(a=1, 2) }}", "{{ a.b.c is defined }}", "{{ $ }}", "{% else %}",
]

VALUES = {
    "s": "Hello wörld!", "l": [1, 2, 3, 4, 5], "d": {"a": 1, "b": {"c": ["x", None, 1.5, True]}},
    "objs": [{"n": 2, "g": "x", "on": True, "sub": [5]}, {"n": 1, "g": "y", "on": False, "sub": [6]}, {"n": 3, "g": "x", "on": True, "sub": [7]}],
}

SWEEP_VALUES = ["'a B-c'", "''", "[3, 1, 2]", "['b', 'a']", "{'z': 1, 'y': [2]}", "3", "-2.5", "true", "none", "missing", "(1, 'x')", "range(4)"]
SWEEP_FILTERS = ["upper", "trim", "length", "first", "last", "list", "join('-')", "sort", "reverse | list", "string", "int", "float", "tojson",
                 "default('q', true)", "unique | list", "min", "max", "sum", "items | list", "dictsort", "map('string') | list", "title", "capitalize",
                 "abs", "round", "batch(2) | list", "wordcount", "indent", "escape", "select | list", "replace('a', 'x')"]
SWEEP_TESTS = ["defined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true", "callable", "lower", "odd"]
SWEEP_OPERATORS = ["+", "*", "~", "==", "<", "in", "and", "or", "%"]


def main():
    contexts = []
    for name, messages in CONVERSATIONS.items():
        calls = {"enable_thinking": False, "builtin_tools": ["search", "code_interpreter"]} if name == "calls" else {}
        for tools in (None, [WEATHER, SEARCH]):
            for prompt, extra in ((True, calls), (False, {"enable_thinking": False, "date_string": "26 Jul 2024"})):
                contexts.append({"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": prompt,
                                 "bos_token": "<s>", "eos_token": "</s>", **extra})
    cases = []
    for path in sorted((HERE / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        renderings = [outcome(source, context) for context in contexts]
        cases.append({"template": path.stem, "source": source, "renderings": renderings})
    expressions = [part.strip() for line in EXPRESSIONS.strip().split("\n") for part in split(line)]
    sources = ["{{ " + expression + " }}" for expression in expressions] + BLOCKS
    for value, filter in itertools.product(SWEEP_VALUES, SWEEP_FILTERS):
        sources.append("{{ " + value + " | " + filter + " }}")
    for value, test in itertools.product(SWEEP_VALUES, SWEEP_TESTS):
        sources.append("{{ " + value + " is " + test + " }}")
    for left, operator, right in itertools.product(SWEEP_VALUES, SWEEP_OPERATORS, SWEEP_VALUES):
        sources.append("{{ " + left + " " + operator + " " + right + " }}")
    small = [{"source": source, **outcome(source, VALUES)} for source in dict.fromkeys(sources)]
    document = {"jinja2": jinja2.__version__, "now": NOW, "values": VALUES, "contexts": contexts, "templates": cases, "small": small}
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with open(GOLDEN / "templates.json", "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=None, separators=(",", ":"))
        file.write("\n")


def split(line):
    """Expressions are divided by a bar with no space around it that is not in quotes."""
    parts, start, quote = [], 0, None
    for index, character in enumerate(line):
        if quote:
            if character == quote and line[index - 1] != "\\":
                quote = None
        elif character in "'\"":
            quote = character
        elif character == "|" and line[index - 1] != " " and line[index + 1:index + 2] != " ":
            parts.append(line[start:index])
            start = index + 1
    return parts + [line[start:]]


if __name__ == "__main__":
    main()
