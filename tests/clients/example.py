# An example in a language that can't be run here: a parser of it reads it whole, and what it would send is put together from what stands
# there: python3 example.py csharp|powershell < example. GATEPOST and KEY are those of the environment, as the example has them. One line
# of JSON: {"url", "pairs"}, the pairs in order. Ends with 1, and says where, at what is none of that language.
import json
import os
import re
import sys

from tree_sitter import Language, Parser

name, source = sys.argv[1], sys.stdin.buffer.read()
grammar = __import__({"csharp": "tree_sitter_c_sharp", "powershell": "tree_sitter_powershell"}[name])
root = Parser(Language(grammar.language())).parse(source).root_node


def all_of(node):
    yield node
    for child in node.children:
        yield from all_of(child)


def kinds(node, *kinds):
    return [one for one in all_of(node) if one.type in kinds]


def text(node):
    return node.text.decode()


for node in kinds(root, "ERROR"):
    sys.exit(f"no {name} in line {node.start_point[0] + 1}: {text(node)}")
if root.has_error:
    sys.exit(f"something is missing: {root}")


def csharp(node):
    """The value of strings that are added, and of variables of the environment."""
    if node.type == "string_literal":
        return json.loads(text(node))
    if node.type == "binary_expression" and text(node.child_by_field_name("operator")) == "+":
        return csharp(node.child_by_field_name("left")) + csharp(node.child_by_field_name("right"))
    if node.type == "invocation_expression" and text(node).startswith("Environment.GetEnvironmentVariable("):
        return os.environ[json.loads(text(kinds(node, "string_literal")[0]))]
    sys.exit(f"not known here: {text(node)}")


def powershell(node):
    """The value of a string with variables of the environment."""
    return re.sub(r"\$env:(\w+)", lambda found: os.environ[found[1]], text(node)[1:-1])


pairs, url = [], None
if name == "csharp":
    for node in kinds(root, "assignment_expression", "invocation_expression"):
        if node.type == "assignment_expression":
            key = json.loads(text(kinds(node.child_by_field_name("left"), "string_literal")[0]))
            pairs.append([key, csharp(node.child_by_field_name("right"))])
            continue
        called, given = text(node.child_by_field_name("function")), node.child_by_field_name("arguments").named_children
        if called == "client.DefaultRequestHeaders.Add":
            pairs.append([csharp(one.named_children[0]) for one in given])
        elif called == "client.PostAsJsonAsync":
            url, pairs = csharp(given[0].named_children[0]), [*pairs, ["Content-Type", "application/json"]]
else:
    for node in kinds(root, "hash_entry"):
        key, value = node.named_children
        pairs.append([text(key).strip('"'), powershell(kinds(value, "string_literal")[0])])
    words = [one for one in kinds(root, "command_elements")[0].named_children if one.type != "command_argument_sep"]
    given = {text(word): after for word, after in zip(words, words[1:]) if word.type == "command_parameter"}
    if text(given["-Method"]) != "Post" or text(given["-Body"]) != "($message | ConvertTo-Json)":
        sys.exit("it posts no message")
    url = powershell(given["-Uri"])
    pairs.append(["Content-Type", powershell(given["-ContentType"])])
print(json.dumps({"url": url, "pairs": pairs}))
