#include "trace/redact.hpp"

#include <gtest/gtest.h>

namespace substrate::trace {
namespace {

struct Row {
    std::string_view text;
    std::string_view expected;  // empty: nothing is to change
};

// A token of a known shape, split so that no scanner of this repository takes it for one.
#define GH \
    "ghp_" \
    "abcdefghijklmnopqrstuvwxyz0123456789"
#define JWT             \
    "eyJ"               \
    "hbGciOiJIUzI1NiJ9" \
    ".eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

constexpr Row kRows[] = {
    // options
    {"deploy --token=abc123 --force", "deploy --token=[REDACTED] --force"},
    {"deploy --token abc123 --force", "deploy --token [REDACTED] --force"},
    {"deploy --token   abc123", "deploy --token   [REDACTED]"},
    {"deploy --token \\\n  abc123", "deploy --token \\\n  [REDACTED]"},
    {"deploy --token='a b' x", "deploy --token='[REDACTED]' x"},
    {"deploy --token=\"a b\" x", "deploy --token=\"[REDACTED]\" x"},
    {"deploy --token=a\\ b x", "deploy --token=[REDACTED] x"},
    {"deploy --token=a'b c'd x", "deploy --token=[REDACTED] x"},
    {"deploy '--token=a b' x", "deploy '--token=[REDACTED]' x"},
    {"deploy --token \"a b\" x", "deploy --token \"[REDACTED]\" x"},
    {"deploy \"--token\" abc x", "deploy \"--token\" [REDACTED] x"},
    {"x --password hunter2; ls", "x --password [REDACTED]; ls"},
    {"x --password=hunter2&&ls", "x --password=[REDACTED]&&ls"},
    {"x --api-key k1 --client-secret s1", "x --api-key [REDACTED] --client-secret [REDACTED]"},
    {"x -password hunter2", "x -password [REDACTED]"},
    {"x --access-token=\"un terminated", "x --access-token=\"[REDACTED]"},
    {"wget --http-password=pw http://h/", "wget --http-password=[REDACTED] http://h/"},
    {"curl --oauth2-bearer abc http://h", "curl --oauth2-bearer [REDACTED] http://h"},
    {"openssl enc -passin pass:xyz", "openssl enc -passin [REDACTED]"},
    {"(x --token abc)", "(x --token [REDACTED])"},
    {"echo `x --token abc`", "echo `x --token [REDACTED]`"},
    {"x --token $TOKEN", ""},
    {"x --token=\"${TOKEN}\"", ""},
    {"x --token '$notavariable'", "x --token '[REDACTED]'"},
    {"x --token=$(cat /run/t) y", ""},
    {"x --token --verbose", ""},
    {"x --password-file=/run/pw --token-file f", ""},
    {"docker login --password-stdin registry", ""},
    {"x --no-password db", ""},
    {"x --tokenizer bert --max-tokens 100", ""},
    {"sort --key=2 file", ""},
    {"x --passive --passes 3", ""},
    // assignments
    {"AWS_SECRET_ACCESS_KEY=abc/def+g aws s3 ls", "AWS_SECRET_ACCESS_KEY=[REDACTED] aws s3 ls"},
    {"export GITHUB_TOKEN=abc", "export GITHUB_TOKEN=[REDACTED]"},
    {"MY_SECRET='a b' run", "MY_SECRET='[REDACTED]' run"},
    {"STRIPE_KEY=x run", "STRIPE_KEY=[REDACTED] run"},
    {"DB_PASSWORD=x PGPASSWORD=y psql", "DB_PASSWORD=[REDACTED] PGPASSWORD=[REDACTED] psql"},
    {"DB_PASS=x run", "DB_PASS=[REDACTED] run"},
    {"MYSQL_PWD=x mysql", "MYSQL_PWD=[REDACTED] mysql"},
    {"TOKEN=x", "TOKEN=[REDACTED]"},
    {"TOKEN+=x", "TOKEN+=[REDACTED]"},
    {"env A=1 API_KEY=x cmd", "env A=1 API_KEY=[REDACTED] cmd"},
    {"terraform -var 'db_password=a b' apply", "terraform -var 'db_password=[REDACTED]' apply"},
    {"terraform -var=db_password=x apply", "terraform -var=db_password=[REDACTED] apply"},
    {"curl 'https://h/?access_token=abc&x=1'", "curl 'https://h/?access_token=[REDACTED]&x=1'"},
    {"curl https://h/?key=abc\\&x=1", "curl https://h/?key=[REDACTED]"},
    {"blob?sv=1&sig=abc%3D", "blob?sv=1&sig=[REDACTED]"},
    {"accessToken=abc", "accessToken=[REDACTED]"},
    {"sh -c \"TOKEN=abc; run\"", "sh -c \"TOKEN=[REDACTED]\""},
    {"sh -c \"export TOKEN=abc; run\"", "sh -c \"export TOKEN=[REDACTED]; run\""},
    {"TOKEN= run", ""},
    {"TOKEN=$OTHER run", ""},
    {"PWD=/x OLDPWD=/y AWS_REGION=eu PATH=/bin run", ""},
    {"pass=10 fail=2 key=3", ""},
    {"SSH_PUBLIC_KEY=abc PRIMARY_KEY=id", ""},
    {"make MONKEY=1 TOKENIZERS_PARALLELISM=0", ""},
    // JSON
    {"curl -d '{\"password\": \"a\\\"b\", \"user\": \"u\"}' h",
     "curl -d '{\"password\": \"[REDACTED]\", \"user\": \"u\"}' h"},
    {"curl -d \"{\\\"token\\\":\\\"abc\\\",\\\"x\\\":1}\" h",
     "curl -d \"{\\\"token\\\":\\\"[REDACTED]\\\",\\\"x\\\":1}\" h"},
    {"{\"client_secret\":\"x\"}", "{\"client_secret\":\"[REDACTED]\"}"},
    {"{\"secret\":12345}", "{\"secret\":[REDACTED]}"},
    {"{\"passes\": \"x\", \"path\": \"/y\"}", ""},
    // headers
    {"curl -H 'Authorization: Bearer abc.def' h", "curl -H 'Authorization: Bearer [REDACTED]' h"},
    {"curl -H \"Authorization: Basic dXNlcjpwdw==\" h", "curl -H \"Authorization: Basic [REDACTED]\" h"},
    {"curl -H \"authorization: token abc\" h", "curl -H \"authorization: token [REDACTED]\" h"},
    {"curl -H Authorization:\\ Bearer\\ abc h", "curl -H Authorization:\\ Bearer\\ [REDACTED] h"},
    {"curl -H 'Authorization: Custom a b c' h", "curl -H 'Authorization: [REDACTED]' h"},
    {"Authorization: Bearer abc\nHost: h", "Authorization: Bearer [REDACTED]\nHost: h"},
    {"Authorization: Digest username=\"x\", response=\"y\"\r\nHost: h",
     "Authorization: Digest [REDACTED]\r\nHost: h"},
    {"git -c http.extraHeader=\"AUTHORIZATION: basic abc\" fetch",
     "git -c http.extraHeader=\"AUTHORIZATION: basic [REDACTED]\" fetch"},
    {"curl -H 'X-Api-Key: abc' h", "curl -H 'X-Api-Key: [REDACTED]' h"},
    {"curl -H 'PRIVATE-TOKEN: abc' h", "curl -H 'PRIVATE-TOKEN: [REDACTED]' h"},
    {"curl -H 'Cookie: a=b; c=d' h", "curl -H 'Cookie: [REDACTED]' h"},
    {"http h X-Auth-Token:abc x=1", "http h X-Auth-Token:[REDACTED] x=1"},
    {"curl -H \"Authorization: Bearer $TOKEN\" h", ""},
    {"curl -H 'Accept: application/json' h", ""},
    {"docker run -v my-secret:/run/x image", ""},
    {"Bearer of bad news", ""},
    // tools
    {"mysql -uroot -psecret db", "mysql -uroot -p[REDACTED] db"},
    {"mysql -uroot -p'a b' db", "mysql -uroot -p'[REDACTED]' db"},
    {"sudo /usr/bin/mysqldump -psecret db > x", "sudo /usr/bin/mysqldump -p[REDACTED] db > x"},
    {"mariadb -e 'select 1; select 2' -psecret", "mariadb -e 'select 1; select 2' -p[REDACTED]"},
    {"mysql 2>&1 -psecret", "mysql 2>&1 -p[REDACTED]"},
    {"ssh h \"mysql -psecret db\"", "ssh h \"mysql -p[REDACTED] db\""},
    {"sshpass -p secret ssh -p 22 h", "sshpass -p [REDACTED] ssh -p 22 h"},
    {"sshpass -psecret ssh -p2222 h", "sshpass -p[REDACTED] ssh -p2222 h"},
    {"sshpass -e ssh -p 22 h", ""},
    {"mysql -p db", ""},
    {"mysql db; mkdir -pv x", ""},
    {"git commit -p", ""},
    {"git add -p && git commit -pm x", ""},
    {"cp -pr a b; mkdir -p a/b; ssh -p2222 h", ""},
    {"curl -u user:pw https://h", "curl -u user:[REDACTED] https://h"},
    {"curl -uuser:pw https://h", "curl -uuser:[REDACTED] https://h"},
    {"curl -sSu 'user:p w' https://h", "curl -sSu 'user:[REDACTED]' https://h"},
    {"curl --user user:pw -x p", "curl --user user:[REDACTED] -x p"},
    {"curl --user=user:pw", "curl --user=user:[REDACTED]"},
    {"curl --proxy-user u:p h", "curl --proxy-user u:[REDACTED] h"},
    {"curl -u 'us'er\":p w\" h", "curl -u [REDACTED] h"},
    {"curl -u user https://h:8080/", ""},
    {"sort -u a:b", ""},
    {"docker login -u me -p pw registry", "docker login -u me -p [REDACTED] registry"},
    {"docker run -p 80:80 image", ""},
    {"redis-cli -a pw ping", "redis-cli -a [REDACTED] ping"},
    // URLs
    {"git clone https://user:pw@host/x.git", "git clone https://user:[REDACTED]@host/x.git"},
    {"psql postgres://u:p%40w@db:5432/x", "psql postgres://u:[REDACTED]@db:5432/x"},
    {"x \"amqp://u:p@q@h/v\"", "x \"amqp://u:[REDACTED]@h/v\""},
    {"redis://:pw@h:6379", "redis://:[REDACTED]@h:6379"},
    {"mysql://u:a/b@h/db", "mysql://u:[REDACTED]@h/db"},
    {"https://" GH "@github.com/x", "https://[REDACTED]@github.com/x"},
    {"curl http://localhost:8080/a@b ssh://git@h/x http://[::1]:80/u@v", ""},
    {"https://$USER:$PW@host/", ""},
    // shapes
    {"echo " GH " done", "echo [REDACTED] done"},
    {"x='" GH "'", "x='[REDACTED]'"},
    {"github_pat_"
     "11ABCDEFG0123456789_abcdefg",
     "[REDACTED]"},
    {"key sk-"
     "proj-abcDEF0123456789abcdef0123",
     "key [REDACTED]"},
    {"xoxb-"
     "123456789012-abcdef",
     "[REDACTED]"},
    {"id AKIA"
     "IOSFODNN7EXAMPLE.",
     "id [REDACTED]."},
    {"npm_"
     "abcdefghijklmnopqrstuvwxyz0123456789",
     "[REDACTED]"},
    {"glpat-"
     "abcdefghij0123456789",
     "[REDACTED]"},
    {"t " JWT " u", "t [REDACTED] u"},
    {"a\n-----BEGIN RSA PRIVATE "
     "KEY-----\nMIIE\n-----END RSA PRIVATE "
     "KEY-----\nb",
     "a\n[REDACTED]\nb"},
    {"-----BEGIN PRIVATE "
     "KEY-----\ncut off",
     "[REDACTED]"},
    {"SSH_KEY=-----BEGIN PRIVATE "
     "KEY-----\nMIIE\n-----END PRIVATE "
     "KEY-----\nB=1",
     "SSH_KEY=[REDACTED]\nB=1"},
    {"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", ""},
    {"task-manager sk-short npm_config_registry ghp_short AKIDO eyJ.a.b", ""},
    {"sk-this-is-only-a-long-dashed-name", ""},
    // words
    {"echo pass the password to the token holder", ""},
    {"echo 'password: see the manual'", ""},
    {"ls -la /etc; cat a.txt | grep -p x", ""},
    {"echo it's fine --token abc", "echo it's fine --token [REDACTED]"},
    {"", ""},
    {"caf\xc3\xa9 \xff\x01 --token \xff\xfe", "caf\xc3\xa9 \xff\x01 --token [REDACTED]"},
};

TEST(Redact, Table) {
    static_assert(std::size(kRows) >= 60);
    for (const Row& row : kRows) {
        const std::string result = redact(row.text);
        EXPECT_EQ(result, row.expected.empty() ? row.text : row.expected) << "in: " << row.text;
        EXPECT_EQ(redact(result), result) << "not a fixed point: " << row.text;
    }
}

TEST(Redact, ArgumentVectors) {
    using Args = std::vector<std::string>;
    const auto check = [](const Args& in, const Args& out) {
        EXPECT_EQ(redact_argv(in), out);
        EXPECT_EQ(redact_argv(out), out);
    };
    check({"x", "--token", "a b", "y"}, {"x", "--token", "[REDACTED]", "y"});
    check({"x", "--token=a b;c", "y"}, {"x", "--token=[REDACTED]", "y"});
    check({"x", "--token", "--verbose"}, {"x", "--token", "--verbose"});
    check({"env", "DB_PASSWORD=$a b", "run"}, {"env", "DB_PASSWORD=[REDACTED]", "run"});
    check({"/usr/bin/mysql", "-uroot", "-pa b", "-p", "db"},
          {"/usr/bin/mysql", "-uroot", "-p[REDACTED]", "-p", "db"});
    check({"sshpass", "-p", "pw", "ssh", "-p", "22"}, {"sshpass", "-p", "[REDACTED]", "ssh", "-p", "22"});
    check({"curl", "-su", "u:p w", "-uu:p", "--user", "u:p", "h"},
          {"curl", "-su", "u:[REDACTED]", "-uu:[REDACTED]", "--user", "u:[REDACTED]", "h"});
    check({"curl", "-H", "Authorization: Custom a b"}, {"curl", "-H", "Authorization: [REDACTED]"});
    check({"bash", "-c", "x --token abc"}, {"bash", "-c", "x --token [REDACTED]"});
    check({"docker", "login", "-p", "pw"}, {"docker", "login", "-p", "[REDACTED]"});
    check({"git", "commit", "-p", "-m", "pass the token"}, {"git", "commit", "-p", "-m", "pass the token"});
    check({}, {});
}

TEST(Redact, Variables) {
    EXPECT_EQ(redact_variable("NPM_TOKEN", "abc"), "[REDACTED]");
    EXPECT_EQ(redact_variable("AWS_SECRET_ACCESS_KEY", "abc"), "[REDACTED]");
    EXPECT_EQ(redact_variable("NPM_TOKEN", ""), "");
    EXPECT_EQ(redact_variable("PATH", "/bin"), "/bin");
    EXPECT_EQ(redact_variable("PWD", "/x"), "/x");
    EXPECT_EQ(redact_variable("DATABASE_URL", "pg://u:p@h/d"), "pg://u:[REDACTED]@h/d");
}

// A quadratic detector would need minutes for these.
TEST(Redact, IsLinearOnHostileText) {
    for (const std::string_view unit :
         {"sk-",         "eyJ-",     "eyJ.",        "a=",         "-----BEGIN ",
          "://u:x",      "--token ", "\"",          "'",          "\\",
          "\"a\":",      "=",        "TOKEN=",      "a-",         "x://",
          "-p",          "mysql -",  "Cookie:",     "token\":\"", "-----BEGIN PRIVATE KEY",
          "http://a:b/", " ",        "--token \\\n"}) {
        std::string text;
        while (text.size() < (256u << 10)) text += unit;
        const std::string result = redact(text);
        EXPECT_EQ(redact(result), result) << unit;
    }
}

}  // namespace
}  // namespace substrate::trace
