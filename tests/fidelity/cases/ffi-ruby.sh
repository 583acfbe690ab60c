# Ruby's foreign functions (fiddle): handles of libc, of the program, the next one
# needs: ruby
cat > t.rb <<'R'
require 'fiddle/import'
module C
  extend Fiddle::Importer
  dlload 'libc.so.6'
  extern 'int open(const char*, int)'
  extern 'int rename(const char*, const char*)'
  extern 'int access(const char*, int)'
end
File.write("build/a", "hello\n")
fd = C.open("build/a", 0)
p fd >= 0
p IO.for_fd(fd).read if fd >= 0
p C.rename("build/a", "build/b"), C.access("build/b", 4), Dir.children("build").sort
all = [Fiddle.dlopen(nil), Fiddle::Handle.new("libc.so.6"), Fiddle::Handle::DEFAULT, Fiddle::Handle::NEXT]
all.each do |handle|
  open = Fiddle::Function.new(handle['open'], [Fiddle::TYPE_VOIDP, Fiddle::TYPE_INT], Fiddle::TYPE_INT)
  p open.call("build/b", 0) >= 0
end
File.write("build/kept", "kept\n")
remove = Fiddle::Function.new(all[1]['unlink'], [Fiddle::TYPE_VOIDP], Fiddle::TYPE_INT)
p remove.call("build/b"), File.exist?("build/b")
R
ruby t.rb
ls build
