<?php

/** Stand-in for the static entry point: in production nothing is generated on request. */

declare(strict_types=1);

http_response_code(404);
header('Content-Type: text/plain; charset=utf-8');
echo "static.php: no such static file\n";
