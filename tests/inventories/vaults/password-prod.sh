#!/bin/sh
echo staple
