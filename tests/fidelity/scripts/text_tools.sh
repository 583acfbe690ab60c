cd build; printf 'a\nb\nc\n' > f; sed -i 's/b/X/' f; cat f; grep -rn X .; grep -c . f; awk '{print NR,$0 > "out"}' f; cat out; perl -pi -e 's/X/Y/' f; cat f; patch -s f <<'P'
--- f
+++ f
@@ -1,3 +1,3 @@
 a
-Y
+Z
 c
P
cat f; diff f out; ls
