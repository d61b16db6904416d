#!/bin/sh
case "$1" in
--list) echo '{"g": {"hosts": ["e1", "e2", "e3"], "vars": {"x": "g"}}, "h": {"children": ["g"]}}' ;;
--host) case "$2" in
    e1) echo '{"x": "host", "n": 1.5}' ;;
    e2) echo ;;
    *) echo '{}' ;;
    esac ;;
esac
