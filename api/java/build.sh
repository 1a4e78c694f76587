#!/bin/sh
# Shell. Builds the client without Maven: build.sh OUT makes OUT/lars-client.jar and OUT/driver/.
set -eu
out=${1:?usage: build.sh OUT}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out/classes" "$out/driver"
find "$here/src/main/java" -name '*.java' -exec javac --release 17 -Xlint:all -Werror -encoding UTF-8 -d "$out/classes" {} +
jar --create --file "$out/lars-client.jar" -C "$out/classes" .
find "$here/src/driver/java" "$here/src/bench/java" -name '*.java' -exec javac --release 17 -Xlint:all -Werror -encoding UTF-8 -cp "$out/lars-client.jar" -d "$out/driver" {} +
