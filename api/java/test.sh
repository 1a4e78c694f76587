#!/bin/sh
# Shell. Builds the client and runs its tests with JUnit 4: test.sh OUT [JAR...], Debian's jars by default.
set -eu
out=${1:?usage: test.sh OUT [JUNIT_JAR HAMCREST_JAR]}
here=$(cd "$(dirname "$0")" && pwd)
junit=${2:-/usr/share/java/junit4.jar}:${3:-/usr/share/java/hamcrest-core.jar}
"$here/build.sh" "$out"
mkdir -p "$out/test"
find "$here/src/test/java" -name '*.java' -exec javac --release 17 -Xlint:all,-processing,-try,-path -Werror -encoding UTF-8 -cp "$out/classes:$junit" -d "$out/test" {} +
exec java -Dlars.vectors="$here/../../proto/golden_vectors.json" -cp "$out/classes:$out/test:$junit" \
  org.junit.runner.JUnitCore lars.client.CoreTest lars.client.ClientTest lars.client.TableTest
