<?php

/** Stand-in for the media entry point: a picture that is not on the disk is not anywhere. */

declare(strict_types=1);

http_response_code(404);
header('Content-Type: text/plain; charset=utf-8');
echo "get.php: no such media file\n";
