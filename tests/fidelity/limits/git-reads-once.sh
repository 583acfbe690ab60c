#custom
# natively: files whose index entry is not up to date: 0
# hosted: files whose index entry is not up to date: 1
export GIT_CONFIG_GLOBAL=/dev/null
$RUN bash -c 'cd build; git init -q .; echo x > f; git add f
git -c user.name=n -c user.email=e commit -qm m'
cd build; echo "files whose index entry is not up to date: $(git diff-files --name-only | wc -l)"
